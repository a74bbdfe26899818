package gobgp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"

	"mbbgp/bridge"
	"mbbgp/config"
)

// hasTables returns the families that GoBGP has a table of. What is told it of
// others goes nowhere.
func hasTables(ctx context.Context, s *server.BgpServer) map[config.Family]bool {
	has := make(map[config.Family]bool)
	for i, f := range families {
		r := &api.GetTableRequest{
			TableType: api.TableType_TABLE_TYPE_GLOBAL,
			Family:    apiFamily(f),
		}
		_, err := s.GetTable(ctx, r)
		has[config.Family(i)] = err == nil
	}
	return has
}

// paths converts a batch. What cannot be converted is logged and left out: it
// is a mistake of ours, and the other paths are none the worse for it. A family
// that no neighbour speaks is a mistake of the configuration, and logged once;
// but membership is for neighbours that speak it, if there are any.
func (e *embedded) paths(batch []bridge.Update) []*apiutil.Path {
	now := time.Now().Unix()
	paths := make([]*apiutil.Path, 0, len(batch))
	for i := range batch {
		if f := familyOfNLRI(batch[i].NLRI); !e.tables[f] {
			if f != config.FamilyRTC && !e.missing[f] {
				e.missing[f] = true
				e.log.WithField("family", f).Error("BGP paths left out: the family is not enabled")
			}
			continue
		}
		p, err := e.encode.path(&batch[i], now)
		if err != nil {
			e.unsaid.note(batch[i].NLRI, err)
			continue
		}
		paths = append(paths, p)
	}
	return paths
}

func (e *embedded) announce(batch []bridge.Update) error {
	err := e.hand(e.paths(batch), func(paths []*apiutil.Path) error {
		_, err := e.server.AddPath(apiutil.AddPathRequest{Paths: paths})
		return err
	})
	if err != nil {
		return fmt.Errorf("announce BGP paths: %w", err)
	}
	return nil
}

func (e *embedded) withdraw(batch []bridge.Update) error {
	paths := e.paths(batch)
	err := e.hand(paths, func(paths []*apiutil.Path) error {
		return e.server.DeletePath(apiutil.DeletePathRequest{Paths: paths})
	})
	if err != nil {
		return fmt.Errorf("withdraw BGP paths: %w", err)
	}
	if e.sweep == nil {
		e.retained.Add(uint64(len(paths)))
		return nil
	}
	for _, p := range paths {
		e.sweep.free(p.Family, p.Nlri)
	}
	return nil
}

// hand gives paths to a call of GoBGP's. The call has one error for all of
// them, so the path that GoBGP does not take is looked for by halves, logged
// and left out. An error is returned if BGP has stopped.
func (e *embedded) hand(paths []*apiutil.Path, call func([]*apiutil.Path) error) error {
	if len(paths) == 0 {
		return nil
	}
	err := call(paths)
	switch {
	case err == nil:
		return nil
	case !e.running():
		return err
	case len(paths) == 1:
		e.unsaid.note(paths[0].Nlri, err)
		return nil
	}
	half := len(paths) / 2
	if err := e.hand(paths[:half], call); err != nil {
		return err
	}
	return e.hand(paths[half:], call)
}

// running reports whether GoBGP was not stopped through its API.
func (e *embedded) running() bool {
	r, err := e.server.GetBgp(context.Background(), &api.GetBgpRequest{})
	return err == nil && r.Global.Asn != 0
}

func (e *embedded) table(visit func(Path) bool) error {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.server == nil {
		return errors.New("BGP is not running")
	}
	d, more := newDecoder(), true
	for i, f := range families {
		if !more || !e.tables[config.Family(i)] {
			continue
		}
		r := apiutil.ListPathRequest{TableType: api.TableType_TABLE_TYPE_GLOBAL, Family: f}
		err := e.server.ListPath(r, func(_ bgp.NLRI, paths []*apiutil.Path) {
			for _, p := range paths {
				u, why, ok := d.update(p)
				if !ok || why != skipNothing || !more {
					continue
				}
				nlri, best := u.NLRI, p.Best
				if e.several != nil && u.Neighbor.IsValid() {
					nlri, best = e.several.slot(u.NLRI, u.Neighbor, p.RemoteID)
				}
				more = visit(Path{
					NLRI:       nlri,
					Label:      u.Label,
					Attributes: u.Attributes,
					Neighbor:   u.Neighbor,
					Best:       best,
					Stale:      p.Stale,
					Since:      unixTime(p.Age),
				})
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}
