package main

import "os/exec"

// dax gives a machine persistent memory.
var dax = probe("dax", "persistent memory (DAX): MAP_SYNC, Sync, huge pages",
	func(m machine) bool { return m.name == "amd64-6.12" },
	func(b *boot) {
		b.memory = 3072
		b.modules = append(b.modules, "nd_e820", "nd_pmem")
		// Both lay files out so that huge pages can be mapped.
		b.lasting = []lasting{{at: 1024, size: 256, fs: "ext4", flags: []string{"-q", "-b", "4096", "-E", "stride=512,stripe_width=512"}}}
		if _, err := exec.LookPath("mkfs.xfs"); err == nil {
			b.modules = append(b.modules, "xfs")
			b.lasting = append(b.lasting, lasting{at: 1536, size: 384, fs: "xfs", flags: []string{"-q", "-m", "reflink=0", "-d", "su=2m,sw=1,agcount=2", "-l", "size=64m,su=4k"}})
		}
	})
