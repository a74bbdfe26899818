package metalbond

// Certificates are renewed while sessions run. The files are looked at with every
// handshake, and read if one of them has changed. Files that do not do, as when a
// key is renewed and its certificate not yet, change nothing: what was read before
// stays in use, and the log says so once.

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"mbbgp/config"
)

// credentials are a certificate with its key, and the authorities that sign the
// peer's, in PEM files. Certificate and key, or the authorities, may be "": none,
// and those of the system.
type credentials struct {
	certificate, key, authorities string
	usage                         x509.ExtKeyUsage
	log                           logrus.FieldLogger // of files that do not do; nil: nowhere

	mu    sync.Mutex
	seen  [3]stamp         // guarded by mu; of the files when they were read last
	read  bool             // guarded by mu; there are a pair and a pool
	pair  *tls.Certificate // guarded by mu
	pool  *x509.CertPool   // guarded by mu
	wrong error            // guarded by mu; what was wrong with seen
	tried time.Time        // guarded by mu; when they were read last
}

// tryAgain is how often files are read again that do not do: a certificate may
// become valid.
const tryAgain = 10 * time.Second

// stamp is what changes when a file does.
type stamp struct {
	size    int64
	changed time.Time
	failed  bool
}

func stampOf(path string) stamp {
	if path == "" {
		return stamp{}
	}
	info, err := os.Stat(path)
	if err != nil {
		return stamp{failed: true}
	}
	return stamp{size: info.Size(), changed: info.ModTime()}
}

// load returns the certificate, nil for none, and the authorities, nil for those
// of the system, as the files have them now or had them when they last did.
func (c *credentials) load() (*tls.Certificate, *x509.CertPool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := [3]stamp{stampOf(c.certificate), stampOf(c.key), stampOf(c.authorities)}
	changed := now != c.seen
	if !changed && (c.wrong == nil && c.read || c.wrong != nil && time.Since(c.tried) < tryAgain) {
		return c.held()
	}
	again := c.read
	c.tried = time.Now()
	pair, pool, err := c.readFiles(c.tried)
	c.seen, c.wrong = now, err
	if err == nil {
		c.pair, c.pool, c.read = pair, pool, true
	}
	switch {
	case c.log == nil || err != nil && !changed:
	case err != nil && !again:
		c.log.WithError(err).Error("TLS files do not do, there are no sessions until they do")
	case err != nil:
		c.log.WithError(err).Error("TLS files have changed and do not do, the ones before stay in use")
	case again:
		c.log.WithField("certificate", c.certificate).Info("TLS files have changed, new connections use them")
	}
	return c.held()
}

// held returns what was read. mu is held.
func (c *credentials) held() (*tls.Certificate, *x509.CertPool, error) {
	if !c.read {
		return nil, nil, c.wrong
	}
	return c.pair, c.pool, nil
}

// readFiles reads the files, and checks them as of a time.
func (c *credentials) readFiles(now time.Time) (pair *tls.Certificate, pool *x509.CertPool, err error) {
	if c.certificate != "" {
		if pair, err = c.readPair(now); err != nil {
			return nil, nil, err
		}
	}
	if c.authorities != "" {
		if pool, err = readAuthorities(c.authorities, now); err != nil {
			return nil, nil, err
		}
	}
	return pair, pool, nil
}

func (c *credentials) readPair(now time.Time) (*tls.Certificate, error) {
	certificate, err := os.ReadFile(c.certificate)
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(c.key)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("%s with key %s: %w", c.certificate, c.key, err)
	}
	leaf := pair.Leaf
	if err := valid(leaf, now); err != nil {
		return nil, fmt.Errorf("%s: %w", c.certificate, err)
	}
	uses := leaf.ExtKeyUsage
	switch {
	case len(uses) > 0 && !slices.Contains(uses, c.usage) && !slices.Contains(uses, x509.ExtKeyUsageAny):
		role := map[x509.ExtKeyUsage]string{x509.ExtKeyUsageServerAuth: "servers (serverAuth)", x509.ExtKeyUsageClientAuth: "clients (clientAuth)"}
		return nil, fmt.Errorf("%s: the extended key usage of the certificate is not that of %s", c.certificate, role[c.usage])
	case c.usage == x509.ExtKeyUsageServerAuth && len(leaf.DNSNames)+len(leaf.IPAddresses) == 0:
		return nil, fmt.Errorf("%s: the certificate has no subject alternative name, want the DNS name or IP address that clients connect to", c.certificate)
	}
	return &pair, nil
}

func valid(c *x509.Certificate, now time.Time) error {
	switch {
	case now.After(c.NotAfter):
		return fmt.Errorf("the certificate has expired on %s", c.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(c.NotBefore):
		return fmt.Errorf("the certificate is not valid before %s", c.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}

// readAuthorities reads the certificates of a PEM file, of which one at least
// has to be valid.
func readAuthorities(path string, now time.Time) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	problem, good := errors.New("no certificate in it, want PEM"), false
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		pool.AddCert(c)
		if err := valid(c, now); err != nil {
			problem = err
		} else {
			good = true
		}
	}
	if !good {
		return nil, fmt.Errorf("%s: %w", path, problem)
	}
	return pool, nil
}

// CheckTLS says what is wrong with the files of the listener.
func CheckTLS(t *config.MetalBondTLS) error {
	_, _, err := clientCredentials(t).load()
	return err
}

// CheckServerTLS says what is wrong with the files for servers.
func CheckServerTLS(t *config.MetalBondServerTLS) error {
	_, _, err := serverCredentials(t).load()
	return err
}
