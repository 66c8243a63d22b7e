// Package plan is what the host and the guest of vmtest say to each other: the
// host puts a Plan into the initramfs, the guest prints a Report at each step.
package plan

import (
	"encoding/json"
	"fmt"
	"strings"
)

// File is where the guest finds its Plan.
const File = "/plan.json"

// Hardware is the variable of a task that tells which hardware its machine has.
const Hardware = "MMAP_TEST_HARDWARE"

// Elsewhere begins what a test says that needs other hardware than its machine has.
const Elsewhere = "needs hardware that"

// A Plan is what the guest does, from top to bottom, before it powers off.
type Plan struct {
	Modules []Module
	Wait    string // module before which the guest reads a line with further variables of the tasks from its console
	Disk    string // file system of the first disk, which is mounted at /data and has the temporary files; "" for tmpfs
	Write   []Write
	Env     []string // further variables of the tasks, NAME=VALUE
	Tasks   []Task
}

// A Module of the kernel, at /modules/NAME.
type Module struct{ Name, Parameters string }

// A Write stores text in a file, as a rule a switch of the kernel in /proc or /sys.
type Write struct{ File, Text string }

// A Task is a program that the guest runs.
type Task struct {
	Name string // what reports call it
	Args []string
}

// A Report is a line of the guest's output that the guest's init wrote.
type Report struct {
	Event string // Up, Begin, End or Note

	// Up
	Release    string `json:",omitempty"` // of the kernel
	PageSize   int    `json:",omitempty"`
	BigEndian  bool   `json:",omitempty"`
	FileSystem string `json:",omitempty"` // that has the temporary files

	// Begin and End
	Task    string  `json:",omitempty"`
	Error   string  `json:",omitempty"` // how the task failed, or what Note tells
	Seconds float64 `json:",omitempty"` // since the start of the kernel (Up) or of the task (End)
}

// The events.
const (
	Wait  = "wait"  // the guest waits for a line
	Up    = "up"    // the guest is ready
	Begin = "begin" // a task begins
	End   = "end"   // a task has ended
	Note  = "note"  // something is not as planned, and the guest goes on
)

const prefix = "vmtest:"

// String is the report as a line. It begins with a line break, since a program may
// have left one out.
func (r Report) String() string {
	b, err := json.Marshal(r)
	if err != nil {
		panic(err) // of strings and numbers
	}
	return "\n" + prefix + string(b) + "\n"
}

// ParseReport says whether a line is a report, and which.
func ParseReport(line string) (r Report, ok bool) {
	text, ok := strings.CutPrefix(line, prefix)
	return r, ok && json.Unmarshal([]byte(text), &r) == nil
}

// Image is where the guest finds the packed ext4 that mkfs.ext4 makes with these
// flags in a file of this size.
func Image(flags []string, size int64) string {
	return fmt.Sprintf("/images/%s.%d.gz", strings.ReplaceAll(strings.Join(flags, ""), "/", "-"), size)
}
