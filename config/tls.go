package config

import (
	"fmt"
	"net/netip"
	"strings"
)

// MetalBondTLS is how clients are served with TLS 1.3: both ends show a
// certificate. The files are PEM, and read again when they have changed.
type MetalBondTLS struct {
	Listen      []netip.AddrPort // listen: where TLS is spoken; default none: everywhere in metalbond.listen
	Certificate string           // certificate: ours, with the chain behind it; required
	Key         string           // key: of the certificate; required
	ClientCA    string           // client-ca: authorities that sign the certificates of clients; required
}

// MetalBondServerTLS is how servers are talked to with TLS 1.3.
type MetalBondServerTLS struct {
	CA          string // ca: authorities that sign the certificates of servers; default "" (system in the file): those of the system
	Certificate string // certificate: that we show, with the chain behind it; default "": none
	Key         string // key: of the certificate; required with it
	ServerName  string // server-name: that their certificates have; default "": the host of each server
}

// Listeners returns where clients are served without and with TLS.
func (m *MetalBond) Listeners() (plain, secure []netip.AddrPort) {
	switch {
	case m.TLS == nil:
		return m.Listen, nil
	case len(m.TLS.Listen) == 0:
		return nil, m.Listen
	}
	return m.Listen, m.TLS.Listen
}

const systemCA = "system"

func (d *decoder) metalBondTLS(n *node, path string) *MetalBondTLS {
	t := new(MetalBondTLS)
	d.mapping(n, path, "a mapping",
		field{"listen", into(&t.Listen, d.listens(DefaultMetalBondTLSPort, 0))},
		field{"certificate", into(&t.Certificate, d.file)},
		field{"key", into(&t.Key, d.file)},
		field{"client-ca", into(&t.ClientCA, d.file)},
	)
	d.required(n, path, "", "certificate", "key", "client-ca")
	return t
}

func (d *decoder) serverTLS(n *node, path string) *MetalBondServerTLS {
	t := new(MetalBondServerTLS)
	d.mapping(n, path, "a mapping",
		field{"ca", func(n *node, path string) {
			if n.kind != scalarNode || n.text != systemCA {
				t.CA = d.absolute(n, path, "the absolute path of a file, or system")
			}
		}},
		field{"certificate", into(&t.Certificate, d.file)},
		field{"key", into(&t.Key, d.file)},
		field{"server-name", into(&t.ServerName, d.serverName)},
	)
	if n.entry("certificate") != nil {
		d.required(n, path, " with certificate", "key")
	}
	if n.entry("key") != nil {
		d.required(n, path, " with key", "certificate")
	}
	return t
}

// serverName reads a DNS name or IP address that a certificate is for.
func (d *decoder) serverName(n *node, path string) string {
	name := d.name(n, path)
	if strings.ContainsAny(name, "*/ []") {
		d.wrong(n, path, "a DNS name or an IP address")
		return ""
	}
	return name
}

// checkTLS checks what TLS and the rest of the section have in common.
func (d *decoder) checkTLS(n *node, path string, m *MetalBond) {
	if tls := n.entry("tls"); tls != nil && len(m.Listen) == 0 && m.TLS != nil && len(m.TLS.Listen) == 0 {
		d.fail(tls.line, tls.column, join(path, "tls"), "is for clients, and there is no listener")
	}
	if tls := n.entry("server-tls"); tls != nil && len(m.Servers) == 0 {
		d.fail(tls.line, tls.column, join(path, "server-tls"), "is for servers, and there are none")
	}
	clients := n.entry("clients")
	if clients == nil || m.TLS != nil {
		return
	}
	for i, item := range items(clients.value) {
		if e := item.entry("certificate"); e != nil {
			d.fail(e.line, e.column, fmt.Sprintf("%s.clients[%d].certificate", path, i), "needs metalbond.tls, without which clients show no certificates")
		}
	}
}

func (w *writer) metalBondTLS(m *MetalBond) {
	if t := m.TLS; t != nil {
		w.section("tls", func() {
			if len(t.Listen) > 0 {
				list(w, "listen", t.Listen, netip.AddrPort.String)
			}
			w.text("certificate", t.Certificate)
			w.text("key", t.Key)
			w.text("client-ca", t.ClientCA)
		})
	}
	if t := m.ServerTLS; t != nil {
		w.section("server-tls", func() {
			if t.CA == "" {
				w.text("ca", systemCA)
			} else {
				w.text("ca", t.CA)
			}
			w.optional("certificate", t.Certificate)
			w.optional("key", t.Key)
			w.optional("server-name", t.ServerName)
		})
	}
}
