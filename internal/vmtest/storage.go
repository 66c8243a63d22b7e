package main

// storage is disks that fail, fill up, turn read-only and shrink.
var storage = probe("storage", "I/O errors, full, read-only and shrunken disks: device mapper, ext4, xfs, btrfs",
	// The others are slow, and disks do not fail otherwise there.
	func(m machine) bool { return m.goArch == "amd64" },
	func(b *boot) {
		b.plan.Disk = ""
		b.modules = append(b.modules, "dm_mod", "loop", "xfs", "btrfs")
		for _, s := range []spare{
			{kind: "ext4", size: 64 << 20, flags: []string{"-q", "-b", "4096"}},
			{kind: "xfs", size: 300 << 20, flags: []string{"-q"}},
			{kind: "btrfs", size: 128 << 20, flags: []string{"-q", "-m", "single"}},
		} {
			for range spareOfAKind {
				b.spare = append(b.spare, s)
			}
		}
	})

// spareOfAKind is how many tests use up a disk of each kind.
const spareOfAKind = 6
