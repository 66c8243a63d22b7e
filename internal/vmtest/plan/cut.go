package plan

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// The program cutter runs in a machine whose power is cut. The host gives it these
// variables in the line that the guest waits for.
const (
	CutMode     = "MMAP_CUT_MODE"     // Sync, NoSync or Flush
	CutSubjects = "MMAP_CUT_SUBJECTS" // names, separated by commas, of what it is to write
	CutAcked    = "MMAP_CUT_ACKED"    // the Acked of earlier lives
)

// What a cutter does where a program that loves its data calls Sync.
const (
	Sync   = "sync"
	NoSync = "nosync" // nothing
	Flush  = "flush"  // calls Flush, which does not wait
)

// A Said is a line that a cutter prints.
type Said struct {
	Lost    []Loss `json:",omitempty"`
	Checked bool   `json:",omitempty"` // all has been looked at; from now on the power may be cut

	// Acknowledged: the subject is in the state with this number, durably.
	Subject string `json:",omitempty"`
	State   int    `json:",omitempty"`
}

// A Loss is what was acknowledged in an earlier life, and is not there.
type Loss struct {
	Changes int // how many
	What    string
}

const cutPrefix = "cutter:"

// String is what was said as a line.
func (s Said) String() string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // of strings and numbers
	}
	return cutPrefix + string(b) + "\n"
}

// ParseSaid says whether a line is of a cutter, and what it says. A line that the
// end of the power has torn is none.
func ParseSaid(line string) (s Said, ok bool) {
	text, ok := strings.CutPrefix(line, cutPrefix)
	return s, ok && json.Unmarshal([]byte(text), &s) == nil
}

// An Acked has the last acknowledged state of each subject. Those before it were
// acknowledged too.
type Acked map[string]int

func (a Acked) String() string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(a)) {
		words = append(words, fmt.Sprintf("%s:%d", name, a[name]))
	}
	return strings.Join(words, ",")
}

// ParseAcked reads what String has written.
func ParseAcked(s string) (Acked, error) {
	a := make(Acked)
	for word := range strings.SplitSeq(s, ",") {
		if word == "" {
			continue
		}
		name, number, _ := strings.Cut(word, ":")
		n, err := strconv.Atoi(number)
		if err != nil {
			return nil, fmt.Errorf("acknowledged: %q is not NAME:NUMBER: %w", word, err)
		}
		a[name] = n
	}
	return a, nil
}

// The subjects of a cutter.
const (
	Records = "records" // appended to a file that grows
	Files   = "files"   // new ones
	Size    = "size"    // a file that grows and shrinks
	Counter = "counter" // atomic integers
	Region0 = "region0" // two regions of one file,
	Region1 = "region1"
	Process = "process" // and one more in another process
	Store   = "store"   // of examples/records
)

// Subjects are all of them.
var Subjects = []string{Records, Files, Size, Counter, Region0, Region1, Process, Store}
