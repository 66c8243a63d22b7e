package main

// addresses maps as high as each kernel grants, and as much.
var addresses = probe("addresses", "the highest addresses, and the largest reservations, that the kernel grants", everywhere,
	func(b *boot) {
		b.append = "norandmaps" // the address space always has the same gaps
		if b.name == "amd64-5.10" {
			b.append += " no5lvl" // four levels of page tables, as most PCs have
		}
	})
