package result

import (
	"regexp"
	"strings"
)

// Describe says in plain words what a workload is: the subject, which it may share with others, and what distinguishes it from those. A name that is
// not known is split at its first slash.
func Describe(workload string) (subject, details string) {
	kind, rest, _ := strings.Cut(workload, "/")
	if s, ok := subjects()[kind]; ok {
		if s.details != "" {
			return s.subject, s.details
		}
		return s.subject, fields(rest)
	}
	return kind, fields(rest)
}

type words struct{ subject, details string }

// subjects by the first part of the name; without details these are made of the other parts.
func subjects() map[string]words {
	return map[string]words{
		"hash":            {subject: "hash on one core"},
		"write-known":     {subject: "write data that is there already"},
		"write-unique":    {subject: "write new data, fsync at the end"},
		"write-shuffled":  {subject: "write known data out of order"},
		"read-direct":     {subject: "read past the kernel's cache"},
		"read-warm":       {subject: "read through the kernel's cache, second pass"},
		"read-cold":       {subject: "read after dropped caches"},
		"vm-first":        {"store a file system image, fsync at the end", "that the volume has not seen"},
		"vm-next":         {"store a file system image, fsync at the end", "its successor after changes"},
		"rand-overwrite":  {"4 KiB at random, one thread", "overwrite, fsync at the end"},
		"rand-write":      {"4 KiB at random, one thread", "overwrite"}, // of older records: the end was not counted
		"rand-read":       {"4 KiB at random, one thread", "read, O_DIRECT"},
		"small-create":    {"files of up to 4 KiB", "create"},
		"small-list":      {"files of up to 4 KiB", "list"},
		"small-stat":      {"files of up to 4 KiB", "stat"},
		"small-read":      {"files of up to 4 KiB", "read"},
		"small-delete":    {"files of up to 4 KiB", "delete"},
		"check":           {"check without hashes", "fsck -c"},
		"check-hashes":    {"check with all hashes, after dropped caches", "fsck -C"},
		"scrub":           {"scrub of a volume at rest, after dropped caches", "ddumbfs scrub --reset"},
		"reclaim":         {subject: "reclaim while mounted"},
		"mount-empty":     {"mount", "empty volume"},
		"mount-full":      {"mount", "volume, a tenth of it in use"},
		"ingest-known":    {subject: "ddumbfs cp of data that is there already"},
		"hash-cores":      {subject: "hash the data on all cores, and nothing else"},
		"hash-mapped":     {subject: "hash a mapped file on all cores"},
		"memory":          {"most memory of the daemon", "volume of 1 TiB, 128k blocks"},
		"memory-index":    {"most memory of the daemon", "its index alone"},
		"archive-create":  {"backup programs: an image and its successor", "store the image"},
		"archive-next":    {"backup programs: an image and its successor", "store the successor"},
		"archive-verify":  {"backup programs: an image and its successor", "verify both"},
		"archive-extract": {"backup programs: an image and its successor", "extract the successor"},
	}
}

// fields reads the rest of a name: a size is that of blocks, a number that of writers.
func fields(rest string) string {
	size, number := regexp.MustCompile(`^[0-9]+[kMGT]$`), regexp.MustCompile(`^[0-9]+$`)
	var list []string
	for f := range strings.SplitSeq(rest, "/") {
		switch {
		case size.MatchString(f):
			list = append(list, f+" blocks")
		case f == "1":
			list = append(list, "one thread")
		case number.MatchString(f):
			list = append(list, f+" threads")
		case f != "":
			list = append(list, f)
		}
	}
	return strings.Join(list, ", ")
}
