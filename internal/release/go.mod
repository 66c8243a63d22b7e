module github.com/seed-498deeca/mmap/internal/release

go 1.25.0

require github.com/google/licensecheck v0.3.1
