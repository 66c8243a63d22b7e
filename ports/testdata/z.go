// This is file.go of ristretto's package z when its tests, and those of Badger, run on the port.

package z

import (
	"os"

	"github.com/seed-498deeca/mmap/ports/growing"
)

type MmapFile = growing.MmapFile

var (
	NewFile           = growing.NewFile
	OpenMmapFile      = growing.OpenMmapFile
	OpenMmapFileUsing = growing.OpenMmapFileUsing
)

func SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
