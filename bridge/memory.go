package bridge

// RefuseNew makes the bridge refuse routes that it does not hold yet, because
// there is no memory for them, or take them again. What it holds stays, and is
// withdrawn as ever; static routes are always taken. BGP's routes that were
// refused come as soon as they may; who else says routes has to say them again.
func (b *Bridge) RefuseNew(refuse bool) {
	if was := b.short.Swap(refuse); was && !refuse && b.bgp.Refresh != nil {
		b.bgp.Refresh()
	}
}
