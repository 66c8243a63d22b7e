package main

import (
	"github.com/seed-498deeca/mmap/internal/vmtest/plan"
)

// probe returns a job that adds hardware to a machine and runs the tests of package
// probes that need it.
func probe(hardware, about string, on func(machine) bool, add func(*boot)) job {
	const file = "/tests/probes"
	return job{name: hardware, about: about, on: on, prepare: func(b *boot, o options) {
		b.programs[file] = program{"test -c", "./internal/vmtest/probes"}
		b.plan.Env = append(b.plan.Env, plan.Hardware+"="+hardware)
		b.plan.Tasks = append(b.plan.Tasks, plan.Task{Name: hardware, Args: []string{file, "-test.v", "-test.run=" + o.run}})
		b.tests = append(b.tests, hardware)
		add(b)
	}}
}

// checked is j with a check of what the machine left.
func (j job) checked(check func(*boot, *guest) error) job {
	j.check = check
	return j
}
