package bridge

import (
	"github.com/sirupsen/logrus"

	"mbbgp/config"
	"mbbgp/rib"
)

// Bridge is the policy between MetalBond, the table and BGP; one per process.
type Bridge struct {
	table *rib.Table
	log   logrus.FieldLogger
	bgp   *BGP
}

// New makes a bridge. cfg is not changed and not kept.
func New(cfg *config.Config, table *rib.Table, log logrus.FieldLogger) (*Bridge, error) {
	return &Bridge{table: table, log: log, bgp: &BGP{}}, nil
}

// Table is where the routes are.
func (b *Bridge) Table() *rib.Table { return b.table }

// BGP is the side of the bridge that the BGP speaker talks to.
func (b *Bridge) BGP() *BGP { return b.bgp }
