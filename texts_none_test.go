//go:build (!unix && !windows) || aix

package mmap

import (
	"runtime"
	"strings"
)

// What is said where nothing can be mapped.

func init() {
	systemGolden = "texts_none.golden"
	systemMeetings = []meeting{
		{"Where nothing can be mapped", nil},
		{`Open("log.txt", ReadOnly)`, func(m *met) error { return errOf(Open(m.none("log.txt"), ReadOnly)) }},
		{`Create("log.txt", 10)`, func(m *met) error { return errOf(Create(m.none("log.txt"), 10)) }},
		{`OpenOrCreate("log.txt", 10)`, func(m *met) error { return errOf(OpenOrCreate(m.none("log.txt"), 10)) }},
		{`Anonymous(10)`, func(m *met) error { m.none(""); return errOf(Anonymous(10)) }},
		{`Config{HugePages: HugePages2M}.Anonymous(2 << 20)`, func(m *met) error {
			m.none("")
			return errOf(Config{HugePages: HugePages2M}.Anonymous(2 * aMiB))
		}},
		{`MemFile("queue", 10)`, func(m *met) error { return errOf(MemFile(m.none("queue"), 10)) }},
		{`Shared("prices", 10)`, func(m *met) error { return errOf(Shared(m.none("prices"), 10)) }},
		{`RemoveShared("prices")`, func(m *met) error { return RemoveShared(m.none("prices")) }},
	}
}

// none has the text speak of one of these systems.
func (m *met) none(name string) string {
	folder, _ := sharedFolder()
	m.rewrite = strings.NewReplacer(runtime.GOOS, "plan9", strings.TrimSuffix(folder, "/")+"/", "/tmp/")
	return name
}
