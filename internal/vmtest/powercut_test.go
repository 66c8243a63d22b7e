package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/seed-498deeca/mmap/internal/vmtest/plan"
)

func TestWhatTheCutsMustShow(t *testing.T) {
	for _, tt := range []struct {
		s    series
		want string // in the error; "" for none
	}{
		{series{kind: "ext4", mode: plan.Sync, cuts: 30, acked: 900}, ""},
		{series{kind: "ext4", mode: plan.Sync, cuts: 30, acked: 900, lost: 1}, "ext4/sync: 1 of 900 acknowledged changes are lost"},
		{series{kind: "ext4", mode: plan.Sync, cuts: 30}, "nothing was acknowledged"},
		{series{kind: "xfs", mode: plan.NoSync, cuts: 1, acked: 9, lost: 2}, ""},
		{series{kind: "xfs", mode: plan.NoSync, cuts: 5, acked: 9}, "xfs/nosync: the control lost nothing within 5 cuts: the harness proves nothing"},
		{series{kind: "btrfs", mode: plan.Flush, cuts: 5, acked: 9}, "btrfs/flush: the control lost nothing"},
		{series{kind: "btrfs", mode: plan.Flush, cuts: 2, acked: 9, lost: 9}, ""},
	} {
		err := tt.s.verdict()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%+v: %v", tt.s, err)
		}
	}
}

// newVictim is one whose qemu is a script of the shell.
func newVictim(t *testing.T, script string) *victim {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skipf("needs a shell: %v", err)
	}
	const functions = `
read -r line
say() { echo "cutter:$1"; }
echo 'vmtest:{"Event":"up"}'
echo 'vmtest:{"Event":"begin","Task":"cutter"}'
acknowledge() { i=$1; while :; do say '{"Subject":"counter","State":'$i'}'; i=$((i+1)); sleep 0.005; done; }
end() { echo 'vmtest:{"Event":"end","Task":"cutter"}'; exit 0; }
`
	m := machine{name: "made", qemu: []string{sh, "-c", functions + script}}
	v := cutDisk{kind: "ext4"}.victim(m, kernel{}, options{seed: 1}, &builder{dir: t.TempDir()}, io.Discard)
	if err := os.WriteFile(v.image, make([]byte, 8*logSector), 0o600); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAMachineIsCutAndLookedAtAgain(t *testing.T) {
	for _, tt := range []struct {
		name, script, mode string
		want               series
		err                string
	}{
		{"nothing is lost", `say '{"Checked":true}'
case "$line" in *MMAP_CUT_SUBJECTS=?*) acknowledge 1;; esac; end`, plan.Sync, series{cuts: 2}, ""},
		{"the second life misses two", `
case "$line" in
*MMAP_CUT_ACKED=counter:*) say '{"Checked":true,"Lost":[{"Changes":2,"What":"counter"}]}'; end;;
esac
say '{"Checked":true}'; acknowledge 1`, plan.NoSync, series{cuts: 1, lost: 2}, ""},
		{"it ends by itself", `say '{"Checked":true}'; end`, plan.Sync, series{}, "the machine ended by itself"},
		{"it does not look", `end`, plan.Sync, series{}, "the machine ended by itself"},
		{"it fails", `say '{"Checked":true}'; echo 'vmtest:{"Event":"end","Task":"cutter","Error":"exit status 1"}'`,
			plan.Sync, series{}, "cutter: exit status 1"},
		{"it fails, and is cut before it is off", `say '{"Checked":true}'
echo 'vmtest:{"Event":"end","Task":"cutter","Error":"exit status 1"}'; acknowledge 1`,
			plan.Sync, series{}, "cutter: exit status 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := series{kind: "ext4", mode: tt.mode}
			err := newVictim(t, tt.script).run(context.Background(), &s, 2)
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Fatal(err)
			}
			if s.cuts != tt.want.cuts || s.lost != tt.want.lost || tt.err == "" && s.acked < s.cuts {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestADiskThatLosesItsPowerHasWhatWasFlushedAndAPartOfTheRest(t *testing.T) {
	v := newVictim(t, "")
	list := listOf(made{0, 1, 0, 'a'}, flush, made{1, 1, 0, 'b'}, made{2, 1, 0, 'c'}, made{3, 1, 0, 'd'}, made{4, 1, 0, 'e'})
	if err := os.WriteFile(v.list, list, 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(v.image)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[byte]int)
	const times = 100
	for i := range times {
		if err := os.WriteFile(v.image, before, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := v.powerOff(rand.New(rand.NewPCG(1, uint64(i)))); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(v.image)
		if err != nil {
			t.Fatal(err)
		}
		for sector := range 8 {
			seen[b[sector*logSector]]++
		}
	}
	if seen['a'] != times {
		t.Errorf("what was flushed is there %d times of %d", seen['a'], times)
	}
	for _, fill := range []byte("bcde") {
		if seen[fill] < times/5 || seen[fill] > times*4/5 {
			t.Errorf("%c is there %d times of %d", fill, seen[fill], times)
		}
	}
}

func TestALifeWorksOnAllSubjectsOrOnOne(t *testing.T) {
	seen := make(map[int]bool)
	for i := range 100 {
		chosen := subjectsOf(rand.New(rand.NewPCG(2, uint64(i))))
		seen[len(chosen)] = true
		for _, name := range chosen {
			if !slices.Contains(plan.Subjects, name) {
				t.Error(name)
			}
		}
	}
	if len(seen) != 2 || !seen[1] || !seen[len(plan.Subjects)] {
		t.Error(seen)
	}
}

func TestAFileSystemWithoutItsMkfsIsLeftOut(t *testing.T) {
	d := cutDisk{kind: "none-such", pkg: "none-such-progs", share: 1}
	out := d.cut(context.Background(), []series{{kind: d.kind, mode: plan.Sync}}, &builder{dir: t.TempDir()}, machine{name: "made"}, kernel{}, options{}, io.Discard)
	if !errors.Is(out.err, errUnavailable) || !strings.Contains(out.err.Error(), "none-such-progs") {
		t.Errorf("%v", out.err)
	}
	done := outcome{machine: "made", job: "powercut ext4", cuts: []series{{kind: "ext4", mode: plan.Sync, cuts: 30, acked: 1234, seconds: 56}}}
	for optional, want := range map[bool]int{true: 0, false: 1} {
		var text bytes.Buffer
		if status := summary([]outcome{done, out}, options{optional: optional}, &text); status != want {
			t.Errorf("status %d, want %d:\n%s", status, want, &text)
		}
		table := strings.Join(strings.Fields(text.String()), " ")
		if !strings.Contains(table, "files on mode cuts acknowledged lost seconds ext4 sync 30 1234 0 56") || strings.Contains(table, "left out: made, powercut none-such") != optional {
			t.Errorf("%s", &text)
		}
	}
}
