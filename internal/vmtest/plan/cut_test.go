package plan

import (
	"reflect"
	"strings"
	"testing"
)

func TestALineOfACutterIsReadOnlyIfItIsWhole(t *testing.T) {
	for _, want := range []Said{
		{Checked: true},
		{Checked: true, Lost: []Loss{{Changes: 3, What: "records 12: \"3\" of 12"}}},
		{Subject: Records, State: 1234},
	} {
		line := strings.TrimSuffix(want.String(), "\n")
		if got, ok := ParseSaid(line); !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", line, got, ok)
		}
		for i := range line {
			if got, ok := ParseSaid(line[:i]); ok {
				t.Errorf("%s: %+v", line[:i], got)
			}
		}
	}
}

func TestAcknowledgedStatesGoToTheNextLife(t *testing.T) {
	for _, want := range []Acked{{}, {Records: 12}, {Records: 12, Files: 3, Size: 900000}} {
		text := want.String()
		if got, err := ParseAcked(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
		if strings.ContainsAny(text, " \"'") {
			t.Errorf("%q is not one word of a command line", text)
		}
	}
	for _, text := range []string{"records", "records:", "records:x", ":"} {
		if got, err := ParseAcked(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}
