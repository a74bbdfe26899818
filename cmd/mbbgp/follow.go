package main

import (
	"context"

	"mbbgp/rib"
)

// follow calls each with every change of a VNI, from its present table on,
// until ctx ends (it returns nil then) or each fails.
func follow(ctx context.Context, table *rib.Table, vni rib.VNI, options rib.ReaderOptions, each func(rib.Change) error) error {
	wake := make(chan struct{}, 1)
	options.Wake = func() {
		select {
		case wake <- struct{}{}:
		default: // it is awake
		}
	}
	reader := table.NewReader(vni, options)
	defer reader.Close()
	buffer := make([]rib.Change, 64)
	for ctx.Err() == nil {
		n, more := reader.ReadChanges(buffer)
		for _, change := range buffer[:n] {
			if err := each(change); err != nil {
				return err
			}
		}
		if more {
			continue
		}
		select {
		case <-wake:
		case <-ctx.Done():
		}
	}
	return nil
}
