//go:build !mmap_posix

package mmap

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAdviceThatTheKernelDoesNotKnowSaysSinceWhenItIsKnown(t *testing.T) {
	r := anonymousRegion(t, 100)
	onCalls(t, func(call string) error {
		if call == "madvise" {
			return unix.EINVAL
		}
		return nil
	})
	for a := range Advice(len(adviceNames)) {
		switch a {
		case PopulateRead, PopulateWrite:
			if err := r.Advise(0, ToEnd, a); err != nil {
				t.Errorf("%v without madvise(2): %v, want it done by touching", a, err)
			}
		default:
			err := r.Advise(0, ToEnd, a)
			wantSentence(t, err, errors.ErrUnsupported, a.String(), "not known to this kernel", fmt.Sprintf("Linux %s", advices[a].since))
			wantErr(t, err, unix.EINVAL)
		}
	}
}
