package interop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"testing"
	"time"

	"mbbgp/test/lab"
)

// authority signs the certificates of a test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	var der []byte
	a.key, der = a.sign(a.cert, nil)
	var err error
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

// sign makes a key and a certificate; without a signer it signs itself.
func (a *authority) sign(template *x509.Certificate, signer *ecdsa.PrivateKey) (*ecdsa.PrivateKey, []byte) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	return key, der
}

func text(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// equip gives a node a certificate (own.crt, own.key) and the authority (ca.crt)
// in /run.
func (a *authority) equip(n *lab.Node, name, address string) {
	a.t.Helper()
	key, der := a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{name}, IPAddresses: []net.IP{net.ParseIP(address)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}, a.key)
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	n.WriteFile("/run/own.crt", text("CERTIFICATE", der))
	n.WriteFile("/run/own.key", text("EC PRIVATE KEY", secret))
	n.WriteFile("/run/ca.crt", text("CERTIFICATE", a.cert.Raw))
}

const secured = `metalbond:
  listen: "[::]:4711"
  tls: {listen: "[::]:4714", certificate: /run/own.crt, key: /run/own.key, client-ca: /run/ca.crt}
  clients:
    - {certificate: a.example.net, announce: [200], nexthops: [own/128]}
    - {source: 2001:db8::/64, announce: none}
`

func TestCertificatesSayWhatClientsMayDoBesideStockClients(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	ours, theirs := newAuthority(t), newAuthority(t)
	node := l.Node("server", "2001:db8::1/64")
	ours.equip(node, "server", "2001:db8::1")
	server := node.Bridge(secured)

	stock := l.Node("stock", "2001:db8::d/64").Hypervisor()
	stock.Do("subscribe 200")
	stock.Do("announce 200#10.9.0.0/16#2001:db8::d")
	stock.Connect(serverAt)
	client := func(name string, by *authority, flags ...string) *lab.MetalBond {
		address := "2001:db8::" + name
		n := l.Node(name, address+"/64")
		by.equip(n, name+".example.net", address)
		n.WriteFile("/run/ca.crt", text("CERTIFICATE", ours.cert.Raw))
		return n.Client(append([]string{"--server", "[2001:db8::1]:4714", "--tls-ca", "/run/ca.crt", "--subscribe", "200",
			"--announce", fmt.Sprintf("200#10.%d.0.0/16#%s", name[0], address)}, flags...)...)
	}
	pair := []string{"--tls-certificate", "/run/own.crt", "--tls-key", "/run/own.key"}
	a := client("a", ours, pair...)        // may announce
	b := client("b", ours, pair...)        // has no entry of its own
	forged := client("c", theirs, pair...) // signed by nobody that counts
	client("e", ours)                      // shows nothing
	server.WaitRoutes(20*time.Second, "200#10.97.0.0/16#2001:db8::a")
	stock.WaitRoutes(10*time.Second, "200#10.97.0.0/16#2001:db8::a")
	lab.Eventually(t, 20*time.Second, "b is told", func() error { return b.Holds("200#10.97.0.0/16#2001:db8::a") })
	forged.WaitLog("unknown certificate authority", 20*time.Second)
	lab.Eventually(t, 20*time.Second, "two are turned away", func() error {
		if n := server.Metric("mbbgp_metalbond_connections_refused_total", `reason="handshake"`); n < 2 {
			return fmt.Errorf("%v are", n)
		}
		return nil
	})
	for _, peer := range []string{"2001:db8::b", "2001:db8::d"} {
		if got := refused(server, peer, "client-vni"); got != 1 {
			t.Errorf("%v routes of %s were refused", got, peer)
		}
	}

	t.Log("the server's certificate is renewed: who is there stays, who comes gets in")
	ours.equip(node, "server", "2001:db8::1")
	f := client("f", ours, pair...)
	lab.Eventually(t, 20*time.Second, "f is told", func() error { return f.Holds("200#10.97.0.0/16#2001:db8::a") })
	server.WaitLog("TLS files have changed, new connections use them", 20*time.Second)
	if err := a.Holds(); err != nil {
		t.Error(err)
	}
}
