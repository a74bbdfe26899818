package main

import (
	"context"
	"errors"

	"mbbgp/plugin/api"
)

// operatorName names routes that are announced over the API.
const operatorName = "operator"

// operator does what the process is told to over the API. What is nil, this kind
// of process does not do.
type operator struct {
	reload func(context.Context) (api.Reloaded, error)
	drain  func()
	log    *logs
}

// Reload implements api.Operator.
func (o *operator) Reload(ctx context.Context) (api.Reloaded, error) {
	if o.reload == nil {
		return api.Reloaded{}, errors.New("this process has no configuration file")
	}
	defer notifyReload()()
	return o.reload(ctx)
}

// Drain implements api.Operator.
func (o *operator) Drain() error {
	if o.drain == nil {
		return errors.New("this process has nothing to drain")
	}
	o.drain()
	return nil
}

// SetLogLevel implements api.Operator.
func (o *operator) SetLogLevel(component, level string) error {
	if o.log == nil {
		return errors.New("the log is not this process's own")
	}
	return o.log.setLevel(component, level)
}
