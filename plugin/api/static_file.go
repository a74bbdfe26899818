package api

// The file of the routes that are kept is JSON, one list, and is always replaced
// as a whole: a crash leaves the old one or the new one. One that cannot be read
// all the same is set aside under the name FILE.damaged, for somebody to look
// at, and the bridge starts without it.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/sirupsen/logrus"

	"mbbgp/bridge"
	"mbbgp/rib"
)

const damaged = ".damaged"

// keptFile is the file.
type keptFile struct {
	Routes []keptRoute `json:"routes"`
}

// keptRoute is a route in the file, in the words of the API.
type keptRoute struct {
	VNI        uint32 `json:"vni"`
	Prefix     string `json:"prefix"`
	Target     string `json:"target"`
	TargetVNI  uint32 `json:"targetVNI,omitempty"`
	Type       string `json:"type,omitempty"`
	NATFrom    uint32 `json:"natFrom,omitempty"`
	NATTo      uint32 `json:"natTo,omitempty"`
	Preference uint32 `json:"preference,omitempty"`
}

// Load announces the routes of the file. One that is refused is logged and stays
// in the file.
func (s *Static) Load() {
	if s.path == "" {
		return
	}
	log := s.log.WithField("file", s.path)
	text, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		log.WithError(err).Error("the routes that were kept cannot be read")
		return
	}
	routes, err := parseKept(text)
	if err != nil {
		log.WithError(err).WithField("aside", s.path+damaged).Error("the file of the routes that were kept is damaged, it is set aside")
		if err := os.Rename(s.path, s.path+damaged); err != nil {
			log.WithError(err).Error("the damaged file cannot be set aside, the next route that is kept replaces it")
		}
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	edits := make([]bridge.Edit, 0, len(routes))
	for _, r := range routes {
		edits = append(edits, r.edit())
	}
	s.channel.Apply(edits)
	var refused []error
	for i, r := range routes {
		s.routes[r.staticKey] = staticValue{r.preference, true}
		s.announced(r.vni)
		if why := edits[i].Refused; why != nil {
			refused = append(refused, why)
			log.WithError(why).WithFields(logrus.Fields{"vni": r.vni, "prefix": r.prefix}).Debug("a route that was kept is refused")
		}
	}
	if len(refused) > 0 {
		log.WithError(refused[0]).WithField("routes", len(refused)).Warn("routes that were kept are refused")
	}
	log.WithField("routes", len(routes)-len(refused)).Info("routes that were kept are announced")
}

// parseKept reads the file. The error says where it is wrong.
func parseKept(text []byte) ([]staticRoute, error) {
	var f keptFile
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	err := d.Decode(&f)
	at := d.InputOffset()
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		at = e.Offset
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		at = e.Offset
	}
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err, at = errors.New("something behind the end"), d.InputOffset()
		}
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err, at = errors.New("it ends too early"), int64(len(text))
	}
	if err != nil {
		return nil, fmt.Errorf("line %d: %w", 1+bytes.Count(text[:min(at, int64(len(text)))], []byte("\n")), err)
	}
	routes := make([]staticRoute, 0, len(f.Routes))
	for i, k := range f.Routes {
		r, err := k.parse()
		if err != nil {
			return nil, fmt.Errorf("routes[%d].%w", i, err)
		}
		routes = append(routes, r)
	}
	return routes, nil
}

// parse checks a route. The error begins with the name of what is wrong.
func (k keptRoute) parse() (r staticRoute, err error) {
	r.vni = rib.VNI(k.VNI)
	if r.prefix, err = ParsePrefix(k.Prefix); err != nil {
		return r, fmt.Errorf("prefix: %w", err)
	}
	switch {
	case k.Preference > 255:
		return r, fmt.Errorf("preference: %d is out of range (1 to 255)", k.Preference)
	case rib.Preference(k.Preference) == rib.Deferred:
		return r, fmt.Errorf("preference: %d is that of all routes that stand by for BGP, want another one", k.Preference)
	}
	r.preference = rib.Preference(k.Preference)
	r.hop, err = k.parseHop()
	return r, err
}

func (k keptRoute) parseHop() (hop rib.NextHop, err error) {
	hop.TargetVNI = rib.VNI(k.TargetVNI)
	if hop.TargetVNI == rib.VNI(k.VNI) {
		hop.TargetVNI = 0
	}
	if hop.Target, err = netip.ParseAddr(k.Target); err != nil || !hop.Target.Is6() || hop.Target.Is4In6() || hop.Target.Zone() != "" {
		return hop, fmt.Errorf("target: %q is not an IPv6 address", k.Target)
	}
	switch k.Type {
	case "", rib.Standard.String():
	case rib.NAT.String():
		hop.Type = rib.NAT
	case rib.LoadBalancerTarget.String():
		hop.Type = rib.LoadBalancerTarget
	default:
		return hop, fmt.Errorf("type: %q is none of %v, %v, %v", k.Type, rib.Standard, rib.NAT, rib.LoadBalancerTarget)
	}
	const last = 1<<16 - 1
	switch {
	case hop.Type != rib.NAT && (k.NATFrom != 0 || k.NATTo != 0):
		return hop, fmt.Errorf("natFrom, natTo: %d to %d are for nat, and the type is %v", k.NATFrom, k.NATTo, hop.Type)
	case k.NATFrom > k.NATTo || k.NATTo > last:
		return hop, fmt.Errorf("natFrom, natTo: %d to %d is no range of ports (0 to %d)", k.NATFrom, k.NATTo, last)
	}
	hop.NATFrom, hop.NATTo = uint16(k.NATFrom), uint16(k.NATTo)
	return hop, nil
}

// save replaces the file. mu is held.
func (s *Static) save() error {
	f := keptFile{Routes: []keptRoute{}}
	for _, r := range s.kept() {
		k := keptRoute{VNI: uint32(r.vni), Prefix: r.prefix.String(), Target: r.hop.Target.String(), TargetVNI: uint32(r.hop.TargetVNI), Preference: uint32(r.preference)}
		if r.hop.Type != rib.Standard {
			k.Type, k.NATFrom, k.NATTo = r.hop.Type.String(), uint32(r.hop.NATFrom), uint32(r.hop.NATTo)
		}
		f.Routes = append(f.Routes, k)
	}
	text, err := json.MarshalIndent(f, "", "  ")
	if err == nil {
		err = replaceFile(s.path, append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("announced, and will not survive a restart: %w", err)
	}
	return nil
}

// replaceFile replaces a file so that after a crash it is the old or the new one.
func replaceFile(path string, data []byte) error {
	directory := filepath.Dir(path)
	if err := os.Mkdir(directory, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	f, err := os.CreateTemp(directory, ".static-routes-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // unless it has the other name by then
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(directory)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
