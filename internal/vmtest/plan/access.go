package plan

import (
	"encoding/json"
	"fmt"
	"strings"
)

// An Access is one that a guest made to memory of a device. The guest prints it, and
// the host compares it with what the device saw.
type Access struct {
	Step   string // what the guest did
	Device string // what the host calls the memory
	Store  bool   // or else a load
	At     uint64 // address, to the device
	Size   int    // bytes
	Value  uint64
	Again  bool `json:",omitempty"` // it may be made several times
}

const accessPrefix = "vmtest-access:"

// Line is the access as a line of the guest's output.
func (a Access) Line() string {
	b, err := json.Marshal(a)
	if err != nil {
		panic(err) // of strings and numbers
	}
	return accessPrefix + string(b)
}

// ParseAccess says whether a line is an access, and which.
func ParseAccess(line string) (a Access, ok bool) {
	text, ok := strings.CutPrefix(line, accessPrefix)
	return a, ok && json.Unmarshal([]byte(text), &a) == nil
}

// String says which access it is, to a reader.
func (a Access) String() string {
	what := map[bool]string{true: "store", false: "load"}[a.Store]
	return fmt.Sprintf("%s of %#x, %d bytes at %#x of %s", what, a.Value, a.Size, a.At, a.Device)
}

// Devices that the host adds.
const (
	Registers    = "edu-mmio" // qemu's name for the registers of its edu device
	SharedMemory = "shared memory"
)
