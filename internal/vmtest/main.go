// Vmtest boots real kernels of Debian in qemu, and runs the tests and probes of
// this repository there: other page sizes, the other byte order, old kernels,
// hardware that breaks.
//
//	go run ./internal/vmtest [-machine amd64-6.12,s390x-6.1] [-job suite] [-short] [-run REGEXP] [-v]
//
// It needs qemu-system, e2fsprogs and xz-utils, for some jobs also xfsprogs and
// btrfs-progs, and apt for kernels that are not yet in its cache. It uses KVM where
// that works; without, a machine is emulated.
// MMAP_TEST_ROUNDS shortens the long tests, as everywhere.
//
// What runs on the host is in job.go (what to do), machine.go and fetch.go (the
// kernels), modules.go, cpio.go and build.go (what is in the initramfs), qemu.go,
// guest.go and results.go (a run, and what is read from its console). Jobs are in
// files of their own: powercut.go, which reads what a disk has done in blklog.go.
// What runs in the guest is in init, probes and cutter. Package plan is what the two
// say to each other.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

type options struct {
	machines, jobs, cache string
	run, skip, fs         string
	short, verbose, list  bool
	optional              bool
	timeout               time.Duration
	parallel, count, cuts int
	seed                  uint64
	percent               string // MMAP_TEST_ROUNDS
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o := options{percent: os.Getenv("MMAP_TEST_ROUNDS")}
	flags := flag.NewFlagSet("vmtest", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.machines, "machine", "", "`names` of machines, separated by commas; all if empty")
	flags.StringVar(&o.jobs, "job", "", "`names` of jobs, separated by commas; all if empty")
	flags.BoolVar(&o.list, "list", false, "list machines and jobs, and end")
	flags.StringVar(&o.run, "run", "", "run only the tests that match this `regexp`")
	flags.StringVar(&o.skip, "skip", "", "skip the tests that match this `regexp`")
	flags.IntVar(&o.count, "count", 1, "run each test so many times")
	flags.BoolVar(&o.short, "short", false, "run the tests with -short")
	flags.StringVar(&o.fs, "fs", "", "`kind` of file system for temporary files, tmpfs or ext4; the machine's own if empty")
	flags.DurationVar(&o.timeout, "timeout", 30*time.Minute, "how long a machine may run")
	flags.IntVar(&o.parallel, "parallel", 1, "how many machines run at a time; if more than one, what each prints comes when it has ended")
	flags.StringVar(&o.cache, "cache", "/var/cache/mmap-ci/kernels", "`folder` of the kernels")
	flags.BoolVar(&o.optional, "optional", false, "skip a machine whose kernel or emulator is not to be had, and a file system without its mkfs")
	flags.IntVar(&o.cuts, "cuts", 30, "how `often` job powercut cuts the power on ext4; a quarter of it on other file systems")
	flags.Uint64Var(&o.seed, "seed", 0, "`number` that the moments of the cuts and what the disk loses come from; 0 for another each time")
	flags.BoolVar(&o.verbose, "v", false, "print all that machines print")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if o.list {
		list(stdout)
		return 0
	}
	machines, err := choose(machines, o.machines, func(m machine) string { return m.name })
	jobs, jobErr := choose(jobs, o.jobs, func(j job) string { return j.name })
	if err = errors.Join(err, jobErr); err != nil || !slices.Contains([]string{"", "tmpfs", "ext4"}, o.fs) || flags.NArg() > 0 || o.parallel < 1 {
		fmt.Fprintf(stderr, "vmtest: bad arguments %q %v\n", args, err)
		return 2
	}
	outcomes, err := runAll(ctx, machines, jobs, o, stdout)
	if err != nil {
		fmt.Fprintf(stderr, "vmtest: %v\n", err)
		return 1
	}
	return summary(outcomes, o, stdout)
}

func list(w io.Writer) {
	for _, m := range machines {
		fmt.Fprintf(w, "%-18s %s of Debian %s, on %s\n", m.name, m.pkg, m.suite, m.fs)
	}
	for _, j := range jobs {
		fmt.Fprintf(w, "job %-14s %s\n", j.name, j.about)
	}
}

// choose returns the things that a flag names, separated by commas; all for "".
func choose[T any](all []T, names string, nameOf func(T) string) (chosen []T, err error) {
	if names == "" {
		return all, nil
	}
	for _, name := range strings.Split(names, ",") {
		i := slices.IndexFunc(all, func(x T) bool { return nameOf(x) == name })
		if i < 0 {
			return nil, fmt.Errorf("nothing is called %q; -list tells the names", name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// runAll does the jobs on the machines, o.parallel at a time, and returns the
// outcomes in their order.
func runAll(ctx context.Context, machines []machine, jobs []job, o options, log io.Writer) (outcomes []outcome, err error) {
	dir, err := os.MkdirTemp("", "vmtest")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	b, err := newBuilder(ctx, dir)
	if err != nil {
		return nil, err
	}
	var all []*[]outcome // of each job on each machine
	var running sync.WaitGroup
	var printing sync.Mutex
	slots := make(chan struct{}, o.parallel)
	for _, m := range machines {
		k, err := m.have(ctx, o.cache)
		for _, j := range jobs {
			if !j.on(m) {
				continue
			}
			out := &[]outcome{{machine: m.name, job: j.name, err: err}}
			all = append(all, out)
			if err != nil {
				continue
			}
			slots <- struct{}{}
			running.Go(func() {
				defer func() { <-slots }()
				if err := ctx.Err(); err != nil {
					(*out)[0].err = err
					return
				}
				w, buffer := log, new(bytes.Buffer)
				if o.parallel > 1 {
					w = buffer
				}
				fmt.Fprintf(w, "\n%s: %s\n", m.name, j.name)
				*out = j.do(ctx, b, m, k, o, w)
				printing.Lock()
				defer printing.Unlock()
				buffer.WriteTo(log)
			})
		}
	}
	running.Wait()
	for _, out := range all {
		outcomes = append(outcomes, *out...)
	}
	return outcomes, nil
}

// summary prints what became of each job, and returns the exit status.
func summary(outcomes []outcome, o options, w io.Writer) (status int) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\nmachine\tjob\tkernel\tpage\torder\tfiles on\tpassed\tfailed\tskipped\tby\tseconds")
	for _, out := range outcomes {
		if out.guest != nil {
			out.row(table)
		}
	}
	table.Flush()
	cutsTable(outcomes, w)
	done := 0
	for _, out := range outcomes {
		switch {
		case out.err == nil:
			done++
		case o.optional && errors.Is(out.err, errUnavailable):
			fmt.Fprintf(w, "left out: %s, %s: %v\n", out.machine, out.job, out.err)
		default:
			fmt.Fprintf(w, "FAILED %s, %s: %v\n", out.machine, out.job, out.err)
			status = 1
		}
	}
	fmt.Fprintf(w, "%d of %d jobs done\n", done, len(outcomes))
	return status
}

func (out outcome) row(w io.Writer) {
	up := out.guest.up
	order := map[bool]string{true: "big", false: "little"}[up.BigEndian]
	counts := "-\t-\t-"
	if passed, failed, skipped := out.guest.counts(); passed+failed+skipped > 0 {
		counts = fmt.Sprintf("%d\t%d\t%d", passed, failed, skipped)
	}
	fmt.Fprintln(w, strings.Join([]string{out.machine, out.job, up.Release, fmt.Sprint(up.PageSize), order, up.FileSystem,
		counts, out.how, fmt.Sprintf("%.0f", out.seconds)}, "\t"))
}
