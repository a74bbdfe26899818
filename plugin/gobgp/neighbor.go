package gobgp

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/config/oc"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/sirupsen/logrus"

	"mbbgp/config"
)

// maxPassword is TCP_MD5SIG_MAXKEYLEN of Linux.
const maxPassword = 80

// families maps ours to GoBGP's; the index is ours.
var families = [...]bgp.Family{
	config.FamilyEVPN:      bgp.RF_EVPN,
	config.FamilyVPNv4:     bgp.RF_IPv4_VPN,
	config.FamilyVPNv6:     bgp.RF_IPv6_VPN,
	config.FamilyIPv4:      bgp.RF_IPv4_UC,
	config.FamilyIPv6:      bgp.RF_IPv6_UC,
	config.FamilyRTC:       bgp.RF_RTC_UC,
	config.FamilyFlowSpec4: bgp.RF_FS_IPv4_UC,
	config.FamilyFlowSpec6: bgp.RF_FS_IPv6_UC,
}

// familyOf is the reverse of families.
func familyOf(f bgp.Family) (config.Family, bool) {
	i := slices.Index(families[:], f)
	return config.Family(i), i >= 0
}

func apiFamily(f bgp.Family) *api.Family {
	return &api.Family{Afi: api.Family_Afi(f.Afi()), Safi: api.Family_Safi(f.Safi())}
}

// setup is what GoBGP is told at its start, all of it checked.
type setup struct {
	asn      uint32 // ours
	global   *api.Global
	peers    []*api.Peer
	groups   []*api.PeerGroup
	dynamic  []*api.DynamicNeighbor
	own      []uint32         // our AS numbers
	who      []who            // the neighbours of peers and dynamic
	deferral time.Duration    // how long neighbours wait for us at a start; 0: not at all
	file     *oc.BgpConfigSet // instead of the above
	fileName string
	api      string
}

// newSetup makes GoBGP's terms of the configuration, and reads the password
// files.
func newSetup(cfg *config.Config, log logrus.FieldLogger) (*setup, error) {
	b := cfg.BGP
	s := &setup{asn: cfg.ASN, api: b.API}
	if s.api != "" {
		if _, _, err := splitAPI(s.api); err != nil {
			return nil, fmt.Errorf("bgp.api: %w", err)
		}
	}
	if b.GoBGPConfig != "" {
		var err error
		s.fileName = b.GoBGPConfig
		s.file, err = readFile(b.GoBGPConfig, cfg)
		return s, err
	}
	listen, port, err := listenAddresses(b.Listen)
	if err != nil {
		return nil, fmt.Errorf("bgp.listen: %w", err)
	}
	s.own = ownAS(cfg)
	s.global = &api.Global{
		Asn:             cfg.ASN,
		RouterId:        cfg.RouterID.String(),
		ListenPort:      port,
		ListenAddresses: listen,
	}
	// All tables from the start: GoBGP makes none later.
	for _, f := range families {
		name := oc.AfiSafiType(f.String())
		s.global.Families = append(s.global.Families, uint32(oc.AfiSafiTypeToIntMap[name]))
	}
	var errs []error
	for i := range b.Neighbors {
		n := &b.Neighbors[i]
		path := fmt.Sprintf("bgp.neighbors[%d]", i)
		c, err := newCommon(&n.Peering, b.ClusterID, path, log)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.peers = append(s.peers, c.peer(n))
		s.note(netip.PrefixFrom(n.Address.WithZone(""), n.Address.BitLen()), &n.Peering)
	}
	for i := range b.DynamicNeighbors {
		n := &b.DynamicNeighbors[i]
		path := fmt.Sprintf("bgp.dynamic-neighbors[%d]", i)
		c, err := newCommon(&n.Peering, b.ClusterID, path, log)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		name := "dynamic " + n.Prefix.String()
		s.groups = append(s.groups, c.group(&n.Peering, name))
		s.dynamic = append(s.dynamic, &api.DynamicNeighbor{Prefix: n.Prefix.String(), PeerGroup: name})
		s.note(n.Prefix, &n.Peering)
	}
	s.warnMapped(cfg, log)
	s.warnUnspoken(cfg, log)
	return s, errors.Join(errs...)
}

// warnUnspoken says which VNIs have routes of families that no neighbour has.
func (s *setup) warnUnspoken(cfg *config.Config, log logrus.FieldLogger) {
	for _, v := range cfg.VNIs {
		want := v.Family.Families()
		spoken := func(w who) bool {
			return slices.ContainsFunc(want, func(f config.Family) bool { return slices.Contains(w.families, f) })
		}
		if len(s.who) > 0 && !slices.ContainsFunc(s.who, spoken) {
			log.WithFields(logrus.Fields{"vni": v.VNI, "families": want}).
				Warn("no BGP neighbor has a family of the VNI's routes, want one of these in families")
		}
	}
}

// warnMapped says over which sessions the IPv6 routes of unicast VNIs come to
// nothing. Without an address of ours to name, their next hop is that of the
// session, and that of one over IPv4 goes out as an IPv4-mapped address, which
// is no next hop for IPv6 (RFC 2545 section 3).
func (s *setup) warnMapped(cfg *config.Config, log logrus.FieldLogger) {
	unicast := func(v config.VNI) bool { return v.Family == config.VNIFamilyUnicast }
	if !slices.ContainsFunc(cfg.VNIs, unicast) || slices.ContainsFunc(cfg.BGP.NextHops, netip.Addr.Is6) {
		return
	}
	for _, w := range s.who {
		if w.prefix.Addr().Is4() && slices.Contains(w.families, config.FamilyIPv6) {
			log.WithField("neighbor", w.prefix).Warn("IPv6 routes have no usable next hop over IPv4, want an IPv6 address in bgp.next-hops")
		}
	}
}

// note keeps what the speaker as a whole must know of a neighbour, or of the
// neighbours of a prefix.
func (s *setup) note(prefix netip.Prefix, p *config.Peering) {
	local := p.LocalASN
	if local == 0 {
		local = s.asn
	}
	s.who = append(s.who, who{prefix: prefix, internal: p.ASN == local, families: p.Families})
	// Equally good paths are in use at once for all neighbours or for none.
	s.global.UseMultiplePaths = s.global.UseMultiplePaths || p.AddPath.Receives()
	if p.GracefulRestart.Mode == config.GracefulRestartFull {
		s.deferral = max(s.deferral, deferral(p.GracefulRestart.Time))
	}
}

// who says where neighbours are and what they speak.
type who struct {
	prefix   netip.Prefix
	internal bool
	families []config.Family
}

// multipath reports whether several paths of an NLRI can be in use at once.
func (s *setup) multipath() bool {
	if s.file != nil {
		return s.file.Global.UseMultiplePaths.Config.Enabled
	}
	return s.global.UseMultiplePaths
}

// speaks reports whether some neighbour has the family.
func (s *setup) speaks(f config.Family) bool {
	return slices.ContainsFunc(s.who, func(w who) bool { return slices.Contains(w.families, f) })
}

// listening returns the addresses of the listener as they are logged; those of
// a gobgpd file are the file's business.
func (s *setup) listening() (list []string) {
	if s.global != nil {
		for _, a := range s.global.ListenAddresses {
			list = append(list, net.JoinHostPort(a, strconv.Itoa(int(s.global.ListenPort))))
		}
	}
	return list
}

// listenAddresses returns what GoBGP listens on. It has one port for all
// addresses, and its IPv6 listener takes no IPv4, so [::] alone, which means
// both everywhere else, becomes two addresses.
func listenAddresses(list []netip.AddrPort) (addresses []string, port int32, err error) {
	if len(list) == 0 {
		return nil, -1, nil
	}
	any6, has4 := false, false
	for _, l := range list {
		if l.Port() != list[0].Port() {
			return nil, 0, fmt.Errorf("%v and %v: all addresses must have the same port", list[0], l)
		}
		any6 = any6 || l.Addr() == zero6
		has4 = has4 || l.Addr().Unmap().Is4()
		addresses = append(addresses, l.Addr().Unmap().String())
	}
	if list[0].Port() == 0 {
		return nil, 0, errors.New("port 0: want 1 to 65535")
	}
	if any6 && !has4 {
		addresses = append(addresses, zero4.String())
	}
	return addresses, int32(list[0].Port()), nil
}

// common is what configured and dynamic neighbours have in common.
type common struct {
	password  string
	timers    *api.Timers
	multihop  *api.EbgpMultihop
	reflector *api.RouteReflector
	restart   *api.GracefulRestart
	families  []*api.AfiSafi
	local     string
}

func newCommon(p *config.Peering, cluster netip.Addr, path string, log logrus.FieldLogger) (*common, error) {
	c := &common{
		timers: &api.Timers{Config: &api.TimersConfig{
			ConnectRetry:      seconds(p.Timers.ConnectRetry),
			HoldTime:          seconds(p.Timers.Hold),
			KeepaliveInterval: seconds(p.Timers.Keepalive),
			// How long a session rests after we ended it. GoBGP's 30 s refuse
			// a neighbour that is back long before.
			IdleHoldTimeAfterReset: seconds(p.Timers.ConnectRetry),
		}},
		restart: &api.GracefulRestart{},
	}
	if p.PasswordFile != "" {
		var err error
		if c.password, err = readPassword(p.PasswordFile, log); err != nil {
			return nil, fmt.Errorf("%s.password-file: %w", path, err)
		}
	}
	if p.Multihop > 0 {
		c.multihop = &api.EbgpMultihop{Enabled: true, MultihopTtl: uint32(p.Multihop)}
	}
	if p.RouteReflectorClient {
		c.reflector = &api.RouteReflector{RouteReflectorClient: true}
		if cluster.IsValid() {
			c.reflector.RouteReflectorClusterId = cluster.String()
		}
	}
	full := p.GracefulRestart.Mode == config.GracefulRestartFull
	if p.GracefulRestart.Mode != config.GracefulRestartOff {
		c.restart = gracefulRestart(&p.GracefulRestart)
	}
	if constrained := slices.DeleteFunc(slices.Clone(p.Families), hasTargets); len(constrained) > 0 && slices.Contains(p.Families, config.FamilyRTC) {
		log.WithFields(logrus.Fields{"neighbors": path, "families": constrained}).
			Warn("with rtc, these families reach only neighbors that want all route targets")
	}
	for _, f := range p.Families {
		a := &api.AfiSafi{
			Config:            &api.AfiSafiConfig{Family: apiFamily(families[f]), Enabled: true},
			MpGracefulRestart: &api.MpGracefulRestart{Config: &api.MpGracefulRestartConfig{Enabled: full}},
			LongLivedGracefulRestart: &api.LongLivedGracefulRestart{Config: &api.LongLivedGracefulRestartConfig{
				Enabled:     full && c.restart.LonglivedEnabled,
				RestartTime: uint32(seconds(p.GracefulRestart.LongLived)),
			}},
		}
		// No deferral for memberships: routes go out as these come in. GoBGP
		// would wait for the neighbour's End-of-RIB, and for ever if that is
		// there before it has begun to wait.
		if f != config.FamilyRTC {
			a.AddPaths = addPaths(p.AddPath)
		}
		c.families = append(c.families, a)
	}
	if p.LocalAddress.IsValid() {
		c.local = p.LocalAddress.String()
	}
	return c, nil
}

// hasTargets reports whether routes of the family have route targets, or are
// what says which are wanted. GoBGP holds back all others, too, from who has
// not asked for all.
func hasTargets(f config.Family) bool { return f <= config.FamilyVPNv6 || f == config.FamilyRTC }

// maxPaths is how many paths of an NLRI a neighbour is sent, GoBGP's limit.
const maxPaths = 255

func addPaths(a config.AddPath) *api.AddPaths {
	c := &api.AddPathsConfig{Receive: a.Receives()}
	if a.Sends() {
		c.SendMax = maxPaths
	}
	return &api.AddPaths{Config: c}
}

func seconds(d time.Duration) uint64 { return uint64(d / time.Second) }

func (c *common) peer(n *config.Neighbor) *api.Peer {
	return &api.Peer{
		Conf: &api.PeerConf{
			NeighborAddress: n.Address.String(),
			PeerAsn:         n.ASN,
			LocalAsn:        n.LocalASN,
			Description:     n.Description,
			AuthPassword:    c.password,
			AllowOwnAsn:     anyOwnAS,
		},
		Transport: &api.Transport{
			LocalAddress: c.local,
			RemotePort:   uint32(n.Port),
			PassiveMode:  n.Passive,
		},
		Timers:          c.timers,
		EbgpMultihop:    c.multihop,
		RouteReflector:  c.reflector,
		GracefulRestart: c.restart,
		AfiSafis:        c.families,
	}
}

func (c *common) group(p *config.Peering, name string) *api.PeerGroup {
	return &api.PeerGroup{
		Conf: &api.PeerGroupConf{
			PeerGroupName: name,
			PeerAsn:       p.ASN,
			LocalAsn:      p.LocalASN,
			Description:   p.Description,
			AuthPassword:  c.password,
			AllowOwnAsn:   anyOwnAS,
		},
		Transport:       &api.Transport{LocalAddress: c.local, PassiveMode: true},
		Timers:          c.timers,
		EbgpMultihop:    c.multihop,
		RouteReflector:  c.reflector,
		GracefulRestart: c.restart,
		AfiSafis:        c.families,
	}
}

// readPassword returns the TCP MD5 password (RFC 2385) that is in a file, with
// at most one line end behind it.
func readPassword(file string, log logrus.FieldLogger) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	data = bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r"))
	switch {
	case len(data) == 0:
		return "", fmt.Errorf("%s holds no password", file)
	case len(data) > maxPassword:
		return "", fmt.Errorf("%s: the password has %d bytes, want 1 to %d", file, len(data), maxPassword)
	case bytes.ContainsAny(data, "\n\x00"):
		return "", fmt.Errorf("%s: the password has several lines or a zero byte, want one line", file)
	}
	if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o004 != 0 {
		log.WithField("file", file).Warn("everybody on this machine can read the password file")
	}
	return string(data), nil
}
