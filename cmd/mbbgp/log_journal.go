package main

import (
	"fmt"
	"os"
	"syscall"
)

// isJournal reports whether systemd's journal reads it: the variable names the
// device and inode of the stream that it made, which a redirection would not
// be (systemd.exec(5)).
func (w *lockedWriter) isJournal() bool {
	f, ok := w.to.(*os.File)
	if !ok {
		return false
	}
	stat, err := f.Stat()
	if err != nil {
		return false
	}
	s, ok := stat.Sys().(*syscall.Stat_t)
	return ok && os.Getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", s.Dev, s.Ino)
}
