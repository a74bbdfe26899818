package config

import (
	"net/netip"
	"path/filepath"
)

// API says where the management API (gRPC, package mbbgp.v1) is served, which
// the commands that ask a running bridge use.
type API struct {
	Socket       string         // socket: absolute path of a unix socket, at most 107 bytes; default auto (SocketAuto); "" (off in the file): none
	Group        string         // group: of the socket, by name or number; default "": that of the process
	Listen       netip.AddrPort // listen: TCP, TLS 1.3 with certificates of both sides only; port 4713 if none is written, 0: any free one; default invalid (off in the file): none
	TLS          APITLS         // tls: of listen
	StaticRoutes string         // static-routes: absolute path of the file that keeps announced routes over restarts; default static-routes.json in state-directory, or in /var/lib/mbbgp; "" (off in the file): none are kept
}

// APITLS names the PEM files of the API over TCP. All are required with listen.
type APITLS struct {
	Certificate string // certificate: of this bridge, with the chain behind it
	Key         string // key: of the certificate
	Clients     string // clients: authorities that sign the certificates of clients
}

// SocketAuto is api.socket's auto: DefaultSocket if it can be made there, and no
// socket otherwise.
const SocketAuto = "auto"

// DefaultSocket is where commands find a bridge if nobody says otherwise.
const DefaultSocket = "/run/mbbgp/mbbgp.sock"

// The defaults of the API.
const (
	defaultAPIPort = 4713
	defaultState   = "/var/lib/mbbgp"
	staticRoutes   = "static-routes.json"
)

// maxSocket is what Linux has room for in the address of a unix socket.
const maxSocket = 107

func apiDefaults(stateDirectory string) API {
	if stateDirectory == "" {
		stateDirectory = defaultState
	}
	return API{Socket: SocketAuto, StaticRoutes: filepath.Join(stateDirectory, staticRoutes)}
}

func (d *decoder) management(n *node, path string, defaults API) API {
	a := defaults
	d.mapping(n, path, "a mapping",
		field{"socket", into(&a.Socket, d.socket)},
		field{"group", into(&a.Group, d.name)},
		field{"listen", func(n *node, path string) {
			if !n.isOff() {
				a.Listen = d.listen(defaultAPIPort, 0)(n, path)
			}
		}},
		field{"tls", into(&a.TLS, d.apiTLS)},
		field{"static-routes", into(&a.StaticRoutes, d.directory)},
	)
	if n.kind != mappingNode {
		return a
	}
	switch listen, tls := n.entry("listen"), n.entry("tls"); {
	case a.Listen.IsValid() && tls == nil:
		d.bad(listen.value, join(path, "listen"), "%s needs tls: over TCP there is no API without certificates of both sides, on this machine there is socket", a.Listen)
	case !a.Listen.IsValid() && tls != nil && (listen == nil || listen.value.isOff()):
		d.fail(tls.line, tls.column, join(path, "tls"), "is for listen, and listen is off")
	}
	if group := n.entry("group"); group != nil && a.Socket == "" {
		d.fail(group.line, group.column, join(path, "group"), "is for socket, and socket is off")
	}
	return a
}

func (d *decoder) apiTLS(n *node, path string) (t APITLS) {
	d.mapping(n, path, "a mapping",
		field{"certificate", into(&t.Certificate, d.file)},
		field{"key", into(&t.Key, d.file)},
		field{"clients", into(&t.Clients, d.file)},
	)
	d.required(n, path, "", "certificate", "key", "clients")
	return t
}

// socket reads the path of a unix socket, auto or off.
func (d *decoder) socket(n *node, path string) string {
	switch {
	case n.isOff():
		return ""
	case n.kind == scalarNode && n.text == SocketAuto:
		return SocketAuto
	}
	s := d.absolute(n, path, "an absolute path, auto, or off")
	if len(s) > maxSocket {
		d.bad(n, path, "%d bytes are out of range (1 to %d)", len(s), maxSocket)
		return ""
	}
	return s
}

func (w *writer) management(a *API) {
	w.orOff("socket", a.Socket)
	w.optional("group", a.Group)
	if a.Listen.IsValid() {
		w.text("listen", a.Listen.String())
		w.section("tls", func() {
			w.text("certificate", a.TLS.Certificate)
			w.text("key", a.TLS.Key)
			w.text("clients", a.TLS.Clients)
		})
	}
	w.orOff("static-routes", a.StaticRoutes)
}
