// Package rib keeps the routes of every VNI, who announced them, and how far
// each reader has read. It speaks no protocol.
//
// The one idea: versions instead of queues. Nothing is stored per reader but
// where it stands, so a change costs the same with no reader and with
// thousands, and a reader that does not read delays nobody.
//
//   - Each change of a prefix in a VNI has the next version number. A prefix is
//     an entry, each of its next hops a record with the version at which it was
//     added and, when it is gone, removed; each origin that announces it has a
//     claim on the record. A record never changes what it says: another one
//     follows on it. (record.go, vni.go)
//   - The log of a VNI holds every entry once, in order of its last change. Read
//     from the start it is the whole table, read on it is what has changed:
//     initial dump and steady state are the same code. (log.go)
//   - A reader has seen a version. It reads in passes, each from the version it
//     has seen to the present one, and is told of each entry the difference
//     between what lived then and what lives now. Flaps in between are nothing;
//     nothing is withdrawn that was not told. An entry that changes while a pass
//     is under way leaves a ghost where the pass is still to find it.
//     (reader.go, view.go)
//   - A record that is gone stays as a tombstone while a reader's version falls
//     into its life. If there are too many, the readers furthest behind are
//     parked: they note for themselves what they need. (park.go)
//   - A bell wakes the readers that have read everything, a few by the change
//     itself, the rest by a goroutine that lives as long as that takes, which
//     the last reader that closes waits for. (bell.go)
//   - Frames are encoded when they are first read, and the pages that they make
//     are kept for a while for the other readers, who are told the same.
//     (page.go)
//
// Values lie in slabs and refer to each other by number (slab.go), prefixes are
// found through a hash table (index.go), next hops are interned (hops.go). A
// million routes of one origin take 132 bytes each, a further origin of all of
// them 22 more.
//
// A lock per VNI is held by a change, or shared by a read that looks at no more
// than 4096 slots of the log. Longer, in proportion to what there is to do, it
// is held to sweep tombstones, to close up the log, and to park; each comes
// after so many changes that it costs each of them a constant time.
package rib
