package mmap

import "testing"

func TestFilesThatAreNotOpenForWritingAreSyncedPlainly(t *testing.T) {
	name := tempFile(t, pattern(100))
	for mode, want := range map[Mode]string{ReadOnly: "fsync", ReadWrite: "fsync_range"} {
		r := open(t, name, mode)
		last := ""
		ask := func(call string) error {
			if call == "fsync" || call == "fsync_range" {
				last = call
			}
			return nil
		}
		intercept.Store(&ask)
		err := r.Sync()
		intercept.Store(nil)
		if err != nil || last != want {
			t.Errorf("%v: %v by %s(2), want %s", mode, err, last, want)
		}
	}
}
