package main

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

// isJournal reports whether systemd's journal reads w: the variable names the
// device and inode of the stream that it made, which a redirection would not
// be (systemd.exec(5)).
func isJournal(w io.Writer) bool {
	f := fileOf(w)
	if f == nil {
		return false
	}
	stat, err := f.Stat()
	if err != nil {
		return false
	}
	s, ok := stat.Sys().(*syscall.Stat_t)
	return ok && os.Getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", s.Dev, s.Ino)
}
