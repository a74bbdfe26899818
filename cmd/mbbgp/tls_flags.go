package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"mbbgp/config"
	"mbbgp/plugin/metalbond"
)

// tlsFlags are those of TLS, of the plain server and of the plain client.
type tlsFlags struct {
	certificate, key string
	authorities      string
	serverName       string // of the client only
	on               bool   // likewise
}

func (f *tlsFlags) add(c *cobra.Command, peers string) {
	c.Flags().StringVar(&f.certificate, "tls-certificate", "", "own certificate for TLS, with the chain behind it: a PEM `FILE`")
	c.Flags().StringVar(&f.key, "tls-key", "", "its key: a PEM `FILE`")
	c.Flags().StringVar(&f.authorities, "tls-ca", "", "authorities that sign the certificates of "+peers+": a PEM `FILE`")
}

func addServerTLSFlags(c *cobra.Command) *tlsFlags {
	f := &tlsFlags{}
	f.add(c, "clients")
	return f
}

func addClientTLSFlags(c *cobra.Command) *tlsFlags {
	f := &tlsFlags{}
	c.Flags().BoolVar(&f.on, "tls", false, "talk TLS to servers; the other --tls flags imply it")
	f.add(c, "servers (default: those of the system)")
	c.Flags().StringVar(&f.serverName, "tls-server-name", "", "`NAME` that the certificates of servers have (default: the host of each --server)")
	return f
}

// absolute makes paths absolute, as those of a configuration are.
func absolute(paths ...*string) error {
	for _, p := range paths {
		if *p == "" {
			continue
		}
		a, err := filepath.Abs(*p)
		if err != nil {
			return err
		}
		*p = a
	}
	return nil
}

// server returns how clients are served, nil without TLS.
func (f *tlsFlags) server() (*config.MetalBondTLS, error) {
	if f.certificate == "" && f.key == "" && f.authorities == "" {
		return nil, nil
	}
	if f.certificate == "" || f.key == "" || f.authorities == "" {
		return nil, usageError{errors.New("TLS needs --tls-certificate, --tls-key and --tls-ca")}
	}
	if err := absolute(&f.certificate, &f.key, &f.authorities); err != nil {
		return nil, err
	}
	t := &config.MetalBondTLS{Certificate: f.certificate, Key: f.key, ClientCA: f.authorities}
	if err := metalbond.CheckTLS(t); err != nil {
		return nil, usageError{fmt.Errorf("TLS: %w", err)}
	}
	return t, nil
}

// client returns how servers are talked to, nil without TLS.
func (f *tlsFlags) client() (*config.MetalBondServerTLS, error) {
	if !f.on && f.certificate == "" && f.key == "" && f.authorities == "" && f.serverName == "" {
		return nil, nil
	}
	if (f.certificate == "") != (f.key == "") {
		return nil, usageError{errors.New("--tls-certificate and --tls-key go together")}
	}
	if err := absolute(&f.certificate, &f.key, &f.authorities); err != nil {
		return nil, err
	}
	t := &config.MetalBondServerTLS{CA: f.authorities, Certificate: f.certificate, Key: f.key, ServerName: f.serverName}
	if err := metalbond.CheckServerTLS(t); err != nil {
		return nil, usageError{fmt.Errorf("TLS: %w", err)}
	}
	return t, nil
}
