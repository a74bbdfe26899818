package metalbond

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mbbgp/config"
	"mbbgp/rib"
)

// authority signs certificates into a directory.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	made int64
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	template := a.template("authority")
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	a.key = newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) template(name string) *x509.Certificate {
	a.made++
	return &x509.Certificate{
		SerialNumber: big.NewInt(a.made), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
}

// write puts its own certificate into a file.
func (a *authority) write(path string) string {
	writePEM(a.t, path, "CERTIFICATE", a.cert.Raw)
	return path
}

// issue signs a certificate, which change may change before, and writes it with
// its key.
func (a *authority) issue(certificate, key, name string, change func(*x509.Certificate)) {
	a.t.Helper()
	template, private := a.template(name), newKey(a.t)
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &private.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	writePEM(a.t, certificate, "CERTIFICATE", der)
	writePEM(a.t, key, "EC PRIVATE KEY", secret)
}

// writePEM puts a file into its place at once, with a time of its own.
func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(path+"~", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+"~", path); err != nil {
		t.Fatal(err)
	}
}

// pki is a directory with the files of a server and of a client.
type pki struct {
	*authority
	dir    string
	server config.MetalBondTLS
	client config.MetalBondServerTLS
}

func newPKI(t *testing.T) *pki {
	p := &pki{authority: newAuthority(t), dir: t.TempDir()}
	ca := p.write(p.path("ca"))
	p.server = config.MetalBondTLS{Certificate: p.path("server.crt"), Key: p.path("server.key"), ClientCA: ca}
	p.client = config.MetalBondServerTLS{CA: ca, Certificate: p.path("client.crt"), Key: p.path("client.key")}
	p.issue(p.server.Certificate, p.server.Key, "server", nil)
	p.issue(p.client.Certificate, p.client.Key, "hv1.example.net", nil)
	return p
}

func (p *pki) path(name string) string { return filepath.Join(p.dir, name) }

// another returns the files of one more client.
func (p *pki) another(by *authority, name string, change func(*x509.Certificate)) config.MetalBondServerTLS {
	c := config.MetalBondServerTLS{CA: p.client.CA, Certificate: p.path(name + ".crt"), Key: p.path(name + ".key")}
	by.issue(c.Certificate, c.Key, name, change)
	return c
}

func TestRoutesPassBothWaysOverTLS(t *testing.T) {
	const many = 20_000
	p, here, there := newPKI(t), newWorld(t), newWorld(t)
	here.static(23, many, hop1)
	there.static(42, many, hop2)
	s := here.serve(func(o *ServerOptions) { o.TLS = &p.server })
	c, _ := there.follow(func(o *ClientOptions) { o.TLS, o.Subscribe = &p.client, []rib.VNI{23} }, s.Addr().String())
	there.has(23, many)
	here.has(42, many)
	if e := c.Sessions()[0]; e.State != Established {
		t.Errorf("%+v", e)
	}
}

func TestOnlyWhoShowsAGoodCertificateGetsIn(t *testing.T) {
	p := newPKI(t)
	other := newAuthority(t)
	for _, row := range []struct {
		name   string
		client *config.MetalBondServerTLS
		here   string // in the server's log
		there  string // the client's last error
	}{
		{"none", &config.MetalBondServerTLS{CA: p.client.CA}, "tls: client didn't provide a certificate", "the peer says: tls: certificate required"},
		{"one of another authority", ptr(p.another(other, "stranger", nil)), "certificate signed by unknown authority", "the peer says: tls: unknown certificate authority"},
		{"one that has expired since", ptr(p.another(p.authority, "expired", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })), "", "the certificate has expired on"},
		{"one for servers", ptr(p.another(p.authority, "service", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })), "", "extended key usage of the certificate is not that of clients"},
		{"a good one, for a server of another name", &config.MetalBondServerTLS{CA: p.client.CA, Certificate: p.client.Certificate, Key: p.client.Key, ServerName: "elsewhere"}, "", "certificate is valid for server, not elsewhere"},
		{"a good one, but the server's is none", &config.MetalBondServerTLS{CA: other.write(p.path("other-ca")), Certificate: p.client.Certificate, Key: p.client.Key}, "the peer says: tls:", "certificate signed by unknown authority"},
		{"no TLS", nil, "tls: first record does not look like a TLS handshake", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			here, there := newWorld(t), newWorld(t)
			s := here.serve(func(o *ServerOptions) { o.TLS = &p.server })
			c, _ := there.follow(func(o *ClientOptions) { o.TLS = row.client }, s.Addr().String())
			eventually(t, "an error at both ends", func() bool {
				return (row.here == "" || here.lines.count(row.here) > 0) && strings.Contains(c.Sessions()[0].LastError, row.there) && c.Sessions()[0].LastError != ""
			})
			if here.lines.count("session established") != 0 {
				t.Error("there is a session")
			}
		})
	}
}

func ptr[T any](v T) *T { return &v }

// A program that is not ours shows a certificate that ours would not even read.
func TestServerRefusesExpiredCertificate(t *testing.T) {
	p, w := newPKI(t), newWorld(t)
	s := w.serve(func(o *ServerOptions) { o.TLS = &p.server })
	c := p.another(p.authority, "expired", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	conn := p.dial(t, s, c)
	if _, err := conn.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("%v", err)
	}
	eventually(t, "the server says so", func() bool { return w.lines.count("certificate has expired or is not yet valid") > 0 })
}

// dial connects with TLS as any program would.
func (p *pki) dial(t *testing.T, s *Server, files config.MetalBondServerTLS) *tls.Conn {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(files.Certificate, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(p.cert)
	conn, err := tls.Dial("tcp", s.Addr().String(), &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool, ServerName: "server"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return conn
}

func TestRightsComeWithTheCertificate(t *testing.T) {
	p, w := newPKI(t), newWorld(t)
	of := func(name string, vni uint32) config.MetalBondClient {
		return config.MetalBondClient{Certificate: name, Announce: vnis(vni, vni)}
	}
	s := w.serve(func(o *ServerOptions) {
		o.TLS, o.RefuseUnlisted = &p.server, true
		o.Clients = []config.MetalBondClient{of("*.example.net", 1), of("hv1.example.net", 2), of("spiffe://example.net/hv3", 3), of("hv4", 4)}
	})
	uri, err := url.Parse("spiffe://example.net/hv3")
	if err != nil {
		t.Fatal(err)
	}
	for vni, files := range []config.MetalBondServerTLS{
		1: p.another(p.authority, "hv2.example.net", nil),
		2: p.client,
		3: p.another(p.authority, "c", func(c *x509.Certificate) { c.URIs = []*url.URL{uri} }),
		4: p.another(p.authority, "hv4", func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, nil }),
	} {
		if vni == 0 {
			continue
		}
		conn := newPeer(t, p.dial(t, s, files)).greet()
		for try := range 5 {
			conn.announce(rib.VNI(try), prefix(vni), hop1)
		}
		conn.sync()
		w.has(rib.VNI(vni), 1)
	}
	conn := p.dial(t, s, p.another(p.authority, "stranger", nil))
	newPeer(t, conn).ends()
	eventually(t, "it is not on the list", func() bool { return s.Refused()["unlisted"] == 1 })
}

func TestCertificatesAreRenewedUnderRunningSessions(t *testing.T) {
	p, w := newPKI(t), newWorld(t)
	s := w.serve(func(o *ServerOptions) { o.TLS = &p.server })
	first := p.dial(t, s, p.client)
	serial := func(c *tls.Conn) int64 { return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64() }
	peer1 := newPeer(t, first).greet()

	p.issue(p.server.Certificate, p.server.Key, "server", nil)
	second := p.dial(t, s, p.client)
	newPeer(t, second).greet().sync()
	if serial(first) == serial(second) {
		t.Error("the new certificate is not used")
	}
	if n := w.lines.count("TLS files have changed, new connections use them"); n != 1 {
		t.Errorf("%d lines", n)
	}
	if err := os.WriteFile(p.server.Certificate, []byte("-----BEGIN CERT"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		half := p.dial(t, s, p.client)
		newPeer(t, half).greet().sync()
		if serial(half) != serial(second) {
			t.Error("half a file is used")
		}
	}
	if n := w.lines.count("the ones before stay in use"); n != 1 {
		t.Errorf("%d lines", n)
	}

	t.Log("another authority: who was signed by the one before does not get in any more")
	p.issue(p.server.Certificate, p.server.Key, "server", nil)
	newAuthority(t).write(p.server.ClientCA)
	late := p.dial(t, s, p.client)
	if _, err := late.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "unknown certificate authority") {
		t.Errorf("%v", err)
	}
	peer1.sync()
}

func TestPlainAndTLSListenersStandSideBySide(t *testing.T) {
	p, w := newPKI(t), newWorld(t)
	p.server.Listen = []netip.AddrPort{loopback}
	s := w.serve(func(o *ServerOptions) { o.TLS = &p.server })
	dial(t, s).greet().sync()
	c, _ := newWorld(t).follow(func(o *ClientOptions) { o.TLS = &p.client }, s.Addrs()[1].String())
	eventually(t, "a session", func() bool { return c.Sessions()[0].State == Established })
}

func TestSlowTLSHandshakeHoldsUpNobodyAndEnds(t *testing.T) {
	p, w := newPKI(t), newWorld(t)
	s := w.serve(func(o *ServerOptions) { o.TLS, o.Handshake = &p.server, time.Second })
	slow := dial(t, s)
	slow.send("16") // the beginning of a record
	newPeer(t, p.dial(t, s, p.client)).greet().sync()
	slow.ends()
	eventually(t, "it says why", func() bool { return w.lines.count("no TLS handshake within 1s") == 1 })
}

func TestFilesOfTLSAreChecked(t *testing.T) {
	p := newPKI(t)
	file := func(name, text string) string {
		if err := os.WriteFile(p.path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p.path(name)
	}
	issued := func(change func(*x509.Certificate)) config.MetalBondTLS {
		c := p.another(p.authority, fmt.Sprint("check-", p.made), change)
		return config.MetalBondTLS{Certificate: c.Certificate, Key: c.Key, ClientCA: p.server.ClientCA}
	}
	for _, row := range []struct {
		name  string
		files config.MetalBondTLS
		want  string // "": it is good
	}{
		{"good ones", p.server, ""},
		{"no file", config.MetalBondTLS{Certificate: p.path("none"), Key: p.server.Key, ClientCA: p.server.ClientCA}, "none: no such file or directory"},
		{"not PEM", config.MetalBondTLS{Certificate: file("text", "text"), Key: p.server.Key, ClientCA: p.server.ClientCA}, "failed to find any PEM data"},
		{"somebody else's key", config.MetalBondTLS{Certificate: p.server.Certificate, Key: p.client.Key, ClientCA: p.server.ClientCA}, "private key does not match public key"},
		{"no authority", config.MetalBondTLS{Certificate: p.server.Certificate, Key: p.server.Key, ClientCA: file("empty", "")}, "empty: no certificate in it, want PEM"},
		{"an expired certificate", issued(func(c *x509.Certificate) { c.NotAfter = time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC) }), "the certificate has expired on 2020-01-02T03:04:05Z"},
		{"one of the future", issued(func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Date(2120, 1, 2, 3, 4, 5, 0, time.UTC), time.Date(2121, 1, 2, 3, 4, 5, 0, time.UTC)
		}), "the certificate is not valid before 2120-01-02T03:04:05Z"},
		{"a client's", issued(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), "is not that of servers (serverAuth)"},
		{"one without a name", issued(func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, nil }), "has no subject alternative name"},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := CheckTLS(&row.files)
			if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
				t.Errorf("%v, want %q", err, row.want)
			}
		})
	}
	if err := CheckServerTLS(&config.MetalBondServerTLS{}); err != nil {
		t.Errorf("the authorities of the system, no certificate: %v", err)
	}
}
