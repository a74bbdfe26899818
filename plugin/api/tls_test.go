package api

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	pb "mbbgp/plugin/api/v1"
)

// authority signs certificates of 127.0.0.1.
type authority struct {
	t           *testing.T
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	file        string
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, file: filepath.Join(t.TempDir(), "ca.crt")}
	a.key = a.newKey()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.write(a.file, "CERTIFICATE", der)
	return a
}

func (a *authority) newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	return key
}

func (a *authority) write(path, kind string, der []byte) {
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// sign returns the files of a new certificate and its key.
func (a *authority) sign() (certificate, key string) {
	own := a.newKey()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &own.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		a.t.Fatal(err)
	}
	folder := a.t.TempDir()
	certificate, key = filepath.Join(folder, "a.crt"), filepath.Join(folder, "a.key")
	a.write(certificate, "CERTIFICATE", der)
	a.write(key, "PRIVATE KEY", private)
	return certificate, key
}

func TestOverTCPOnlyCertificatesThatAreKnownAreAnswered(t *testing.T) {
	ours, others := newAuthority(t), newAuthority(t)
	certificate, key := ours.sign()
	g := NewGRPC(GRPCOptions{Listen: "127.0.0.1:0", TLS: TLS{Certificate: certificate, Key: key, Clients: ours.file}}, full(), quiet())
	if err := g.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	ask := func(secure credentials.TransportCredentials) error {
		conn, err := grpc.NewClient(g.Addrs()[0].String(), grpc.WithTransportCredentials(secure))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, err = pb.NewBridgeClient(conn).GetStatus(t.Context(), &pb.GetStatusRequest{})
		return err
	}
	with := func(a *authority, servers string) credentials.TransportCredentials {
		certificate, key := a.sign()
		secure, err := ClientTLS(certificate, key, servers)
		if err != nil {
			t.Fatal(err)
		}
		return secure
	}
	pool, err := authorities(ours.file)
	if err != nil {
		t.Fatal(err)
	}
	old, err := tls.LoadX509KeyPair(ours.sign())
	if err != nil {
		t.Fatal(err)
	}
	if err := ask(with(ours, ours.file)); err != nil {
		t.Errorf("a known certificate: %v", err)
	}
	for name, secure := range map[string]credentials.TransportCredentials{
		"the certificate of a stranger": with(others, ours.file),
		"a server that is a stranger":   with(ours, others.file),
		"no certificate":                credentials.NewTLS(&tls.Config{RootCAs: pool}),
		"TLS 1.2":                       credentials.NewTLS(&tls.Config{RootCAs: pool, Certificates: []tls.Certificate{old}, MaxVersion: tls.VersionTLS12}),
	} {
		if err := ask(secure); err == nil {
			t.Errorf("%s: it was answered", name)
		}
	}
}

func TestBadFilesOfTLSAreNamed(t *testing.T) {
	a := newAuthority(t)
	certificate, key := a.sign()
	for want, files := range map[string]TLS{
		"open /missing.crt: no such file or directory": {"/missing.crt", key, a.file},
		"open /missing.key: no such file or directory": {certificate, "/missing.key", a.file},
		"open /missing.ca: no such file or directory":  {certificate, key, "/missing.ca"},
		key + ": no certificate in it, want PEM":       {certificate, key, key},
	} {
		err := NewGRPC(GRPCOptions{Listen: "127.0.0.1:0", TLS: files}, State{}, quiet()).Listen()
		if err == nil || !strings.Contains(err.Error(), "api: "+want) {
			t.Errorf("%v, want %s", err, want)
		}
		if checked := files.Check(); checked == nil || checked.Error() != want {
			t.Errorf("checked: %v, want %s", checked, want)
		}
	}
}
