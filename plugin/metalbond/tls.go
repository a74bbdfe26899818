package metalbond

// TLS changes nothing in how a session speaks, but for the size of a write: what
// is one segment has to hold the record around it, too, and a record no more than
// 16 KiB. So a write is one record is one segment, as it is one segment without
// TLS; probes of the gate stay as short as they have to be (102 of 128 bytes); and
// who takes TLS off in front of a client that does not reassemble passes whole
// messages on. Sessions without TLS have no part in this.

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"

	"mbbgp/config"
)

const (
	recordOverhead = 5 + 1 + 16 // bytes: header, content type, tag (RFC 8446 section 5.2)
	mostRecord     = 16 << 10   // bytes of plain text
	protocolName   = "metalbond"
)

// tlsTransport is a transport over TLS 1.3.
type tlsTransport struct {
	*tcpTransport // whose readiness and way to the peer are the same
	tls           *tls.Conn
}

// newTLSTransport makes a connection one of TLS; client or server is tls.Client
// or tls.Server.
func newTLSTransport(conn *net.TCPConn, side func(net.Conn, *tls.Config) *tls.Conn, c *tls.Config) (*tlsTransport, error) {
	t, err := newTCPTransport(conn)
	if err != nil {
		return nil, err
	}
	records, err := newTCPTransport(conn) // TLS writes by itself, too, as when a key is renewed
	if err != nil {
		return nil, err
	}
	return &tlsTransport{t, side(recordConn{conn, records}, c)}, nil
}

// recordConn writes each record as a unit.
type recordConn struct {
	*net.TCPConn
	out *tcpTransport
}

func (c recordConn) Write(p []byte) (int, error) {
	if err := c.out.send(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (t *tlsTransport) Write(p []byte) (int, error) { return t.tls.Write(p) }

// Read reads what records hold. Messages say themselves where they end, so a
// connection that ends without TLS's own word for it is over and no more.
func (t *tlsTransport) Read(p []byte) (int, error) {
	n, err := t.tls.Read(p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}

func (t *tlsTransport) send(p []byte) error {
	_, err := t.tls.Write(p)
	return err
}

func (t *tlsTransport) look() (path, error) {
	p, err := t.tcpTransport.look()
	p.segment = min(p.segment-recordOverhead, mostRecord)
	return p, err
}

// secure does the handshake of TLS, and returns the names of the peer's
// certificate; none without TLS.
func (s *session) secure() (names []string, err error) {
	t, ok := s.conn.(*tlsTransport)
	if !ok {
		return nil, nil
	}
	switch err := t.tls.Handshake(); {
	case expired(err):
		return nil, fmt.Errorf("no TLS handshake within %v", s.handshake)
	case err != nil:
		return nil, fmt.Errorf("TLS: %w", plain(err))
	}
	if chain := t.tls.ConnectionState().PeerCertificates; len(chain) > 0 {
		names = namesOf(chain[0])
	}
	return names, nil
}

// namesOf returns the subject alternative names of a certificate, or its common
// name if it has none.
func namesOf(c *x509.Certificate) []string {
	names := append([]string(nil), c.DNSNames...)
	for _, a := range c.IPAddresses {
		names = append(names, a.String())
	}
	for _, u := range c.URIs {
		names = append(names, u.String())
	}
	if len(names) == 0 && c.Subject.CommonName != "" {
		names = append(names, c.Subject.CommonName)
	}
	return names
}

// tlsConfig is what both ends have in common. Sessions are not resumed: each one
// shows a certificate that is checked as of now.
func tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{protocolName},
		SessionTicketsDisabled: true, DynamicRecordSizingDisabled: true,
	}
}

// newClientAuth returns how clients are served with the files as they are at each
// handshake.
func newClientAuth(c *credentials) *tls.Config {
	outer := tlsConfig()
	outer.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		pair, authorities, err := c.load()
		if err != nil {
			return nil, err
		}
		inner := tlsConfig()
		inner.Certificates, inner.ClientCAs, inner.ClientAuth = []tls.Certificate{*pair}, authorities, tls.RequireAndVerifyClientCert
		return inner, nil
	}
	return outer
}

// newServerAuth returns how to talk to a server of a name.
func newServerAuth(c *credentials, name string) (*tls.Config, error) {
	pair, authorities, err := c.load()
	if err != nil {
		return nil, err
	}
	t := tlsConfig()
	t.RootCAs, t.ServerName = authorities, name
	if pair != nil {
		t.Certificates = []tls.Certificate{*pair}
	}
	return t, nil
}

// clientCredentials are the files of a listener.
func clientCredentials(t *config.MetalBondTLS) *credentials {
	return &credentials{certificate: t.Certificate, key: t.Key, authorities: t.ClientCA, usage: x509.ExtKeyUsageServerAuth}
}

// serverCredentials are the files for servers.
func serverCredentials(t *config.MetalBondServerTLS) *credentials {
	return &credentials{certificate: t.Certificate, key: t.Key, authorities: t.CA, usage: x509.ExtKeyUsageClientAuth}
}
