package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/seed-498deeca/mmap/internal/vmtest/plan"
)

// powercut lets a machine store and acknowledge, kills it at a random moment, takes
// from its disk a random half of what was not flushed, and boots it again, which
// looks whether all is there that was acknowledged, and goes on.
//
// Where the machine calls Sync, nothing may be lost. Two controls, which call
// nothing or Flush in its place, must lose something: else the cuts prove nothing.
var powercut = job{
	name: "powercut", about: "what Sync has made durable, after losses of power; -cuts, -seed, -run such as ext4/sync",
	on:    func(m machine) bool { return m.name == "amd64-6.12" },
	lives: cutPower,
}

// A cutDisk is a file system whose power is cut.
type cutDisk struct {
	kind, pkg string // mkfs.KIND of Debian's package pkg makes it
	size      int64
	flags     []string
	share     int // of -cuts: the number that it is divided by
}

var cutDisks = []cutDisk{
	{"ext4", "e2fsprogs", 64 << 20, []string{"-q", "-b", "4096"}, 1},
	{"xfs", "xfsprogs", 320 << 20, []string{"-q"}, 4},
	{"btrfs", "btrfs-progs", 256 << 20, []string{"-q"}, 4},
}

// A series is what cuts of one file system in one mode have shown.
type series struct {
	kind, mode        string
	cuts, acked, lost int
	seconds           float64
}

func (s series) name() string { return s.kind + "/" + s.mode }

// verdict says what is wrong with the result, nil if nothing is.
func (s series) verdict() error {
	switch {
	case s.acked == 0:
		return fmt.Errorf("%s: nothing was acknowledged within %d cuts", s.name(), s.cuts)
	case s.mode == plan.Sync && s.lost > 0:
		return fmt.Errorf("%s: %d of %d acknowledged changes are lost", s.name(), s.lost, s.acked)
	case s.mode != plan.Sync && s.lost == 0:
		return fmt.Errorf("%s: the control lost nothing within %d cuts: the harness proves nothing", s.name(), s.cuts)
	}
	return nil
}

// controlCuts is how many cuts a control has to lose something.
const controlCuts = 5

func cutPower(ctx context.Context, b *builder, m machine, k kernel, o options, log io.Writer) (outcomes []outcome) {
	only, err := regexp.Compile(o.run)
	if err != nil {
		return []outcome{{machine: m.name, job: "powercut", err: err}}
	}
	if o.seed == 0 {
		o.seed = uint64(time.Now().UnixNano())
	}
	fmt.Fprintf(log, "-seed %d\n", o.seed)
	for _, d := range cutDisks {
		var chosen []series
		for _, mode := range []string{plan.Sync, plan.NoSync, plan.Flush} {
			if s := (series{kind: d.kind, mode: mode}); only.MatchString(s.name()) {
				chosen = append(chosen, s)
			}
		}
		if len(chosen) > 0 {
			outcomes = append(outcomes, d.cut(ctx, chosen, b, m, k, o, log))
		}
	}
	return outcomes
}

// cut does what of each series is chosen.
func (d cutDisk) cut(ctx context.Context, chosen []series, b *builder, m machine, k kernel, o options, log io.Writer) outcome {
	start := time.Now()
	out := outcome{machine: m.name, job: "powercut " + d.kind}
	if _, err := lookPath("mkfs." + d.kind); err != nil {
		out.err = fmt.Errorf("%w (it is in the package %s)", err, d.pkg)
		return out
	}
	v := d.victim(m, k, o, b, log)
	defer v.boot.discard()
	if out.err = v.boot.packPrograms(b, log, o); out.err == nil {
		out.err = v.suspend(ctx, d)
	}
	if out.err != nil {
		return out
	}
	var wrong []error
	for _, s := range chosen {
		err := newDisk(ctx, v.image, d.kind, d.size, d.flags...)
		if err == nil {
			err = v.run(ctx, &s, max(1, (o.cuts+d.share-1)/d.share))
		}
		if err == nil {
			err = s.verdict()
		}
		wrong = append(wrong, err)
		out.cuts = append(out.cuts, s)
	}
	out.guest, out.how, out.err = v.guest, v.how, errors.Join(wrong...)
	out.seconds = time.Since(start).Seconds()
	return out
}

// A victim is a machine that loses its power.
type victim struct {
	boot  *boot
	image string // what its disk has while it is off
	live  string // and while it runs
	list  string // of its writes
	seed  uint64
	log   io.Writer
	all   bool // of its lines are printed

	acked plan.Acked
	guest *guest // of its last life
	how   string
}

func (d cutDisk) victim(m machine, k kernel, o options, builder *builder, log io.Writer) *victim {
	b := newBoot(builder, m, k, "powercut-"+d.kind, o)
	v := &victim{boot: b, seed: o.seed, log: log, all: o.verbose}
	v.image, v.live, v.list = b.file("image"), b.file("live"), b.file("list")
	b.memory, b.processors, b.images = 256, 1, nil
	b.modules = []string{"virtio_pci", "crc32c_generic", "libcrc32c", d.kind, "virtio_blk"}
	b.plan.Wait = "virtio_blk" // all before it is the same in each life
	b.programs["/cutter"] = program{"build", "./internal/vmtest/cutter"}
	b.programs["/records"] = program{"build", "./examples/records"}
	b.plan.Disk = d.kind
	b.plan.Tasks = []plan.Task{{Name: "cutter", Args: []string{"/cutter"}}}
	b.extra = []string{
		"-blockdev", "driver=file,node-name=live,cache.no-flush=on,filename=" + v.live,
		"-blockdev", "driver=file,node-name=list,cache.no-flush=on,filename=" + v.list,
		"-blockdev", fmt.Sprintf("driver=blklogwrites,node-name=disk,file=live,log=list,log-sector-size=%d", logSector),
		// The list has no room of its own for zeroes that are written.
		"-device", "virtio-blk-pci,drive=disk,write-zeroes=off",
	}
	return v
}

// suspend boots as far as where each life begins.
func (v *victim) suspend(ctx context.Context, d cutDisk) error {
	if err := errors.Join(os.WriteFile(v.image, nil, 0o600), os.Truncate(v.image, d.size), v.powerOn()); err != nil {
		return err
	}
	return v.boot.suspend(ctx, v.log, v.all)
}

// run cuts the power, until something is lost or it was cut often enough. Then it
// looks once more.
func (v *victim) run(ctx context.Context, s *series, cuts int) error {
	start := time.Now()
	defer func() { s.seconds = time.Since(start).Seconds() }()
	if s.mode != plan.Sync {
		cuts = controlCuts
	}
	v.acked = make(plan.Acked)
	for n := 0; n <= cuts && s.lost == 0; n++ {
		rnd := rand.New(rand.NewChaCha8(sha256.Sum256(fmt.Appendf(nil, "%d %s %d", v.seed, s.name(), n))))
		before := s.acked
		lost, err := v.life(ctx, s, n < cuts, rnd)
		if err != nil {
			return fmt.Errorf("%s, after cut %d of %d: %w", s.name(), n, cuts, err)
		}
		for _, l := range lost {
			s.lost += l.Changes
			fmt.Fprintf(v.log, "%s, after cut %d: lost: %s\n", s.name(), n, l.What)
		}
		if len(lost) > 0 || n == cuts {
			break
		}
		s.cuts++
		what, err := v.powerOff(rnd)
		if err != nil {
			return err
		}
		fmt.Fprintf(v.log, "%s, cut %d of %d after %.1f s: %d acknowledged; %s\n",
			s.name(), s.cuts, cuts, time.Since(start).Seconds(), s.acked-before, what)
	}
	return nil
}

// longestLife is how long a machine works that acknowledges little.
const longestLife = 5 * time.Second

// errCut is how a machine ends that loses its power.
var errCut = errors.New("the power was cut")

// life is one from boot to cut or, without a cut, until it was looked what is lost.
func (v *victim) life(ctx context.Context, s *series, cut bool, rnd *rand.Rand) (lost []plan.Loss, err error) {
	if err := v.powerOn(); err != nil {
		return nil, err
	}
	var subjects []string
	if cut {
		subjects = subjectsOf(rnd)
	}
	v.boot.input = lineFor(plan.CutMode+"="+s.mode, plan.CutAcked+"="+v.acked.String(), plan.CutSubjects+"="+strings.Join(subjects, ","))
	// The moment is so many acknowledgements later, and up to the time of a few more.
	after, delay := 1+rnd.IntN(100), time.Duration(rnd.Int64N(int64(100*time.Millisecond)))
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	checked, failed := false, false
	v.boot.heard = func(line string) {
		said, ok := plan.ParseSaid(line)
		r, _ := plan.ParseReport(line)
		switch {
		case r.Event == plan.End:
			failed = r.Error != "" || cut && len(lost) == 0
		case !ok:
		case said.Checked:
			checked, lost = true, said.Lost
			if cut && len(lost) == 0 {
				time.AfterFunc(longestLife, func() { end(errCut) })
			}
		default:
			v.acked[said.Subject] = said.State
			s.acked++
			if after--; after == 0 {
				time.AfterFunc(delay, func() { end(errCut) })
			}
		}
	}
	v.guest, v.how = v.boot.start(ctx, v.log, v.all)
	switch {
	case checked && !failed && context.Cause(ctx) == errCut:
		return nil, nil
	case !checked || failed || len(v.guest.trouble) > 0:
		lines := v.guest.lines["cutter"]
		v.guest.show(lines[max(0, len(lines)-20):])
		return nil, fmt.Errorf("the machine ended by itself: %s", strings.Join(v.guest.trouble, "; "))
	}
	return lost, nil
}

// subjectsOf chooses all, or one: then it has no help from what others flush.
func subjectsOf(rnd *rand.Rand) []string {
	switch rnd.IntN(4) {
	case 0, 1:
		return plan.Subjects
	case 2:
		return []string{plan.Store} // among the others it does little before the cut
	}
	i := rnd.IntN(len(plan.Subjects))
	return plan.Subjects[i : i+1]
}

// powerOn makes the disk of a life.
func (v *victim) powerOn() error {
	return errors.Join(copyFile(v.live, v.image), os.WriteFile(v.list, nil, 0o600))
}

// powerOff makes of the image what the disk has after the loss of power.
func (v *victim) powerOff(rnd *rand.Rand) (what string, err error) {
	list, err := os.Open(v.list)
	if err != nil {
		return "", err
	}
	defer list.Close()
	info, err := list.Stat()
	if err != nil {
		return "", err
	}
	entries, err := readLog(list, info.Size())
	if err != nil {
		return "", err
	}
	kept := survivors(entries, func() bool { return rnd.IntN(2) == 0 })
	writes, flushes := 0, 0
	for _, e := range entries {
		if e.changes() {
			writes++
		}
		if e.is(logFlush) {
			flushes++
		}
	}
	img, err := os.OpenFile(v.image, os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	err = errors.Join(replay(img, list, kept), img.Close())
	return fmt.Sprintf("%d writes, %d flushes, %d writes lost", writes, flushes, writes-len(kept)), err
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// cutsTable prints what the cuts have shown.
func cutsTable(outcomes []outcome, w io.Writer) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	head := "\nfiles on\tmode\tcuts\tacknowledged\tlost\tseconds\n"
	for _, out := range outcomes {
		for _, s := range out.cuts {
			fmt.Fprintf(table, "%s%s\t%s\t%d\t%d\t%d\t%.0f\n", head, s.kind, s.mode, s.cuts, s.acked, s.lost, s.seconds)
			head = ""
		}
	}
	table.Flush()
}
