// Package release holds what is checked of a release.
package release

import (
	"os"
	"testing"

	"github.com/google/licensecheck"
)

// TestTheLicenseIsRecognised asks what pkg.go.dev asks (golang.org/x/pkgsite/internal/licenses):
// without a license that it knows, it shows no documentation.
func TestTheLicenseIsRecognised(t *testing.T) {
	text, err := os.ReadFile("../../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	c := licensecheck.Scan(text)
	if len(c.Match) != 1 || c.Match[0].ID != "MIT" || c.Percent < 95 {
		t.Errorf("LICENSE is %+v, and %.1f %% of it are known; want MIT, but for its title", c.Match, c.Percent)
	}
}
