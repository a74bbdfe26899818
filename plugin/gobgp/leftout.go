package gobgp

import (
	"time"

	"github.com/sirupsen/logrus"
)

// leftOutTold is how often paths that are left out are an error in the log.
const leftOutTold = time.Minute

// leftOut are the paths that could not be handed to GoBGP, which is a mistake of
// ours. The first is logged as an error and then at most one a minute, the others
// for who debugs. It is for one goroutine.
type leftOut struct {
	log   logrus.FieldLogger
	total uint64
	told  time.Time
}

// note logs a path that is left out.
func (l *leftOut) note(path any, why error) {
	l.total++
	entry := l.log.WithError(why).WithFields(logrus.Fields{"path": path, "total": l.total})
	if now := time.Now(); l.told.IsZero() || now.Sub(l.told) >= leftOutTold {
		l.told = now
		entry.Error("BGP path left out")
		return
	}
	entry.Debug("BGP path left out")
}
