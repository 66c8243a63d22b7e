module github.com/seed-498deeca/mmap/examples/bigsort

go 1.25.0

require (
	github.com/schollz/progressbar/v3 v3.19.1
	github.com/seed-498deeca/mmap v0.0.0
	golang.org/x/sys v0.47.0
	golang.org/x/term v0.44.0
)

require (
	github.com/mitchellh/colorstring v0.0.0-20190213212951-d06e56a500db // indirect
	github.com/rivo/uniseg v0.4.7 // indirect
	golang.org/x/exp v0.0.0-20260112195511-716be5621a96 // indirect
)

replace github.com/seed-498deeca/mmap => ../..
