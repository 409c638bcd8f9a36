package memory

// known remembers resources that were in use, because ForceRelease tells them
// from those that never were. RoadRunner keeps every name for ever; this keeps a
// hash of at least the last knownSize names of a shard.
type known struct {
	young, old map[uint64]struct{}
}

const knownSize = 512

func (k *known) add(hash uint64) {
	if k.has(hash) {
		return
	}
	if len(k.young) >= knownSize {
		k.old, k.young = k.young, nil
	}
	if k.young == nil {
		k.young = make(map[uint64]struct{})
	}
	k.young[hash] = struct{}{}
}

func (k *known) has(hash uint64) bool {
	_, young := k.young[hash]
	_, old := k.old[hash]
	return young || old
}
