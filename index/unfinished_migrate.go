package index

import (
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
	"tresor/index/format"
)

// migrateCommand is what goes on with the migration that dir is a part of: its MigrateName says from where it is filled or, with -m, to where
// its block file goes.
func migrateCommand(fs disk.FS, dir string) string {
	data, _ := disk.ReadSmall(fs, filepath.Join(dir, format.MigrateName), unix.O_NOFOLLOW, maxConfig) // without it the user knows
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		path, err := strconv.Unquote(value)
		switch {
		case err != nil:
		case key == "from":
			return "ddumbfs migrate " + quotePath(path) + " " + quotePath(dir)
		case key == "to":
			return "ddumbfs migrate -m " + quotePath(dir) + " " + quotePath(path)
		}
	}
	return "ddumbfs migrate SRC " + dir
}

// quotePath writes a path as a shell takes it.
func quotePath(path string) string {
	if strings.Trim(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+,:@") == "" {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
