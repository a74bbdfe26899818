package rib

// NewOrigin makes an origin.
func (t *Table) NewOrigin(info OriginInfo) Origin { return 0 }

// Origin returns what NewOrigin was told, false if o was released or never was.
func (t *Table) Origin(o Origin) (OriginInfo, bool) { return OriginInfo{}, false }

// Flush withdraws all that o announces and returns how many next hops that
// were. o may announce again.
func (t *Table) Flush(o Origin) int { return 0 }

// FlushVNI withdraws all that o announces in one VNI and returns how many next
// hops that were.
func (t *Table) FlushVNI(o Origin, vni VNI) int { return 0 }

// Release withdraws all that o announces and forgets o.
func (t *Table) Release(o Origin) {}

// Count returns how many next hops o announces.
func (t *Table) Count(o Origin) int { return 0 }

// CountVNI returns how many next hops o announces in one VNI.
func (t *Table) CountVNI(o Origin, vni VNI) int { return 0 }
