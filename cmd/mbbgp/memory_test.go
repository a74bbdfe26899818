package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"mbbgp/config"
)

func TestNewRoutesAreRefusedWhileMemoryIsShort(t *testing.T) {
	const limit = 1000 << 20
	var told []bool
	var lines bytes.Buffer
	log := logrus.New()
	log.SetOutput(&lines)
	collections := 0
	m := &memory{refuse: func(on bool) { told = append(told, on) }, collect: func() { collections++ }, log: log, limit: limit}
	now := time.Now()
	for _, step := range []struct {
		used  config.Bytes
		after time.Duration
		full  bool
	}{
		{100 << 20, 0, false},
		{899 << 20, time.Second, false},
		{900 << 20, time.Second, true},
		{2000 << 20, time.Second, true},
		{801 << 20, memoryCollect, true},
		{799 << 20, time.Second, false},
		{899 << 20, time.Second, false},
		{901 << 20, time.Second, true},
	} {
		now = now.Add(step.after)
		m.use = func() uint64 { return uint64(step.used) }
		m.look(now)
		c := m.conditions()[0]
		if c.OK == step.full || strings.Contains(c.Detail, "new routes are refused") != step.full {
			t.Errorf("with %v in use: %+v", step.used, c)
		}
	}
	if want := []bool{true, false, true}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
	if collections != 1 {
		t.Errorf("%d collections", collections)
	}
	if n := strings.Count(lines.String(), "memory limit reached"); n != 2 {
		t.Errorf("%d lines in\n%s", n, lines.String())
	}
	m.limit = 0
	m.look(now)
	if len(told) != 4 || told[3] || m.conditions() != nil || m.counters() != nil {
		t.Errorf("without a limit: told %v", told)
	}
}

func TestMemoryInUseGrowsWithWhatIsKept(t *testing.T) {
	m := newMemory(0, nil, nil)
	m.collect()
	before := m.use()
	kept := bytes.Repeat([]byte{1}, 64<<20)
	m.collect()
	if grown := m.use() - before; grown < 60<<20 || grown > 80<<20 {
		t.Errorf("64 MiB more are %d bytes more", grown)
	}
	if kept[0] != 1 {
		t.Fatal()
	}
}
