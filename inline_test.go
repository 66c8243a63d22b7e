package mmap

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// TestInlining asks the compiler whether the access methods inline. If one no
// longer does, a loop over a view takes several times as long.
func TestInlining(t *testing.T) {
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skipf("no go command to ask: %v", err)
	}
	if testing.CoverMode() != "" {
		t.Skip("the counters of -cover are in the way")
	}
	want := map[string]bool{"(*Region).Len": true, "(*Region).Cap": true, "(*Region).Mode": true, "(*Region).Addr": true}
	for view, methods := range map[string]string{
		"View[int32]": "Len At Set Ptr Slice All Values Region", "View[float64]": "Len At Set Ptr Slice All Values Region",
		"AtomicView[int32]":     "Len Load Store Swap Add And Or",
		"AtomicView[uint64]":    "Len Load Store Swap Add And Or",
		"BigEndian[uint16]":     "Len At Set",
		"BigEndian[int32]":      "Len At Set All Values Region",
		"BigEndian[uint64]":     "Len At Set",
		"BigEndian[float32]":    "Len At Set",
		"LittleEndian[int32]":   "Len At Set All Values Region",
		"LittleEndian[int64]":   "Len At Set",
		"LittleEndian[float64]": "Len At Set",
	} {
		for _, m := range strings.Fields(methods) {
			want[shape(view)+"."+m] = true
		}
	}
	for name := range want {
		switch {
		case !unalignedAccess && strings.Contains(name, "Endian[") && !strings.HasSuffix(name, ".Len"): // they may load byte by byte here
			delete(want, name)
		case is64 == 0 && strings.HasPrefix(name, "AtomicView["): // a call for 64 bits costs too much
			if !strings.HasSuffix(name, ".Len") {
				delete(want, name)
			}
		case is64 == 0 && (strings.HasSuffix(name, ".Ptr") || name == "(*Region).Cap"): // atomic loads cost more there
			delete(want, name)
		}
	}
	// The library alone, with one file that is only there for this build.
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{
		filepath.Join(dir, "instances.go"): tempFile(t, []byte(instances)),
	}})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(goTool, "build", "-overlay", tempFile(t, overlay), "-gcflags=-m=2", ".")
	cmd.Env = append(os.Environ(), "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH, "GOFLAGS=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Skipf("the compiler cannot be asked: %v\n%.500s", err, out)
	}
	said := regexp.MustCompile(`(?m)(can|cannot) inline (\S+?)(?: with|:)(.*)$`)
	verdict := make(map[string]string)
	for _, m := range said.FindAllStringSubmatch(string(out), -1) {
		verdict[m[2]] = m[1] + m[3]
	}
	for name := range want {
		if v := verdict[name]; !strings.HasPrefix(v, "can ") {
			if len(v) > 100 {
				v = v[:100]
			}
			t.Errorf("%s does not inline: compiler says %q", name, v)
		}
	}
}

// shape gives a type's name as the compiler writes it for the code that all
// types of one shape share.
func shape(view string) string {
	return strings.Replace(view, "[", "[go.shape.", 1)
}

// instances makes the compiler compile what TestInlining asks about.
const instances = `package mmap

func instances(a View[int32], b View[float64], c AtomicView[int32], d AtomicView[uint64], e BigEndian[uint16],
	f BigEndian[int32], g BigEndian[uint64], h BigEndian[float32], i LittleEndian[int32], j LittleEndian[int64],
	k LittleEndian[float64]) []any {
	return []any{a, b, c, d, e, f, g, h, i, j, k}
}

var _ = instances
`
