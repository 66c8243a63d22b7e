package main

// hugepages gives machines pools of huge pages, of sizes that their processors have.
var hugepages = probe("hugepages", "huge pages: pools of each size, hugetlbfs, transparent ones",
	func(m machine) bool { return pools[m.name] != "" },
	func(b *boot) {
		b.append = pools[b.name]
		b.memory = 2048
		if b.goArch == "amd64" {
			b.memory = 5000 // two pages of 1 GiB, and what they do not fit in
		}
	})

// pools are options of the kernels.
var pools = map[string]string{
	"amd64-6.12":      "hugepagesz=2M hugepages=24 hugepagesz=1G hugepages=2",
	"amd64-5.10":      "hugepagesz=2M hugepages=24 hugepagesz=1G hugepages=2",
	"arm64-6.12-16k":  "hugepagesz=2M hugepages=24 hugepagesz=32M hugepages=4",
	"ppc64le-6.1-64k": "hugepagesz=2M hugepages=24",
	"s390x-6.1":       "hugepagesz=1M hugepages=24",
}
