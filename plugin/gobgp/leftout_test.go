package gobgp

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/sirupsen/logrus/hooks/test"
)

func TestManyPathsLeftOutAreOneLineAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, hook := test.NewNullLogger()
		l := leftOut{log: log}
		for range 121 { // two minutes and the first
			l.note("10.0.0.0/8", errors.New("full"))
			time.Sleep(time.Second)
		}
		list := hook.AllEntries()
		if len(list) != 3 || list[0].Data["total"] != uint64(1) || list[2].Data["total"] != uint64(121) || list[2].Data["path"] != "10.0.0.0/8" {
			t.Errorf("logged: %v", list)
		}
		hook.Reset()
		log.SetLevel(logrus.DebugLevel)
		l.note("10.0.0.0/8", errors.New("full"))
		l.note("10.0.0.0/8", errors.New("full"))
		if list := hook.AllEntries(); len(list) != 2 || list[0].Level != logrus.DebugLevel {
			t.Errorf("for who debugs: %v", list)
		}
	})
}
