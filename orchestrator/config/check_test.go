package config_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"tresor/orchestrator/config"
)

// mistakesOf parses a text that must be refused.
func mistakesOf(t *testing.T, text string) config.Mistakes {
	t.Helper()
	_, err := config.Parse("t.toml", []byte(text), config.Outside{NoSecrets: true, Calendar: func(e string) error {
		if strings.Contains(e, "25:") {
			return fmt.Errorf("hour 25 in %q: want 0 to 23", e)
		}
		return nil
	}})
	var wrong config.Mistakes
	if !errors.As(err, &wrong) {
		t.Fatalf("have %v, want mistakes of\n%s", err, text)
	}
	return wrong
}

const (
	aDir    = "[[source.dir]]\nname = \"a\"\npaths = [\"/etc\"]\n"
	aVolume = "[[volume]]\nname = \"v\"\nuuid = \"1234-abcd\"\n"
	aServer = "[[server]]\nname = \"s\"\nhost = \"h\"\nssh_key = \"/k\"\nvms = [\"dc\", \"dc-2\"]\n"
	aBorg   = "[[borg]]\nname = \"b\"\nurl = \"/r\"\nencryption = \"none\"\n"
)

// TestMistakes: each is told with its line, its key and what was wanted or found.
func TestMistakes(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"no TOML", "[paths]\nstate = \"/x\n", "t.toml:2: no TOML"},
		{"same key twice", "[log]\ndir = \"\"\ndir = \"\"\n", "t.toml:3: no TOML"},
		{"misspelt key", "[retention]\nvolume_versoins = 3\n", "t.toml:2: retention.volume_versoins: unknown key; did you mean volume_versions?"},
		{"swapped letters", "[log]\nlevle = \"x\"\n", "t.toml:2: log.levle: unknown key; did you mean level?"},
		{"case counts", "[Paths]\n", "t.toml:1: Paths: unknown key; did you mean paths?"},
		{"key of another table", "[paths]\nattempts = 3\n", "t.toml:2: paths.attempts: unknown key here; it belongs in [backup]"},
		{"unknown in a list", aDir + "\n[[source.dir]]\nname = \"b\"\npath = [\"/b\"]\npaths = [\"/b\"]\n", "t.toml:7: source.dir[1].path: unknown key; did you mean paths?"},
		{"unknown in an inline table", aDir + "blocked_hours = { from = 1, until = 2 }\n", "t.toml:4: source.dir[0].blocked_hours.until: unknown key"},
		{"list of tables as table", "[volume]\nname = \"x\"\n", "t.toml:1: volume: want a list of tables, each beginning with [[volume]], found a table"},
		{"number as string", "[backup]\nattempts = \"3\"\n", "t.toml:2: backup.attempts: want a whole number, found \"3\""},
		{"time without unit", "[backup]\nretry_after = 5\n", "t.toml:2: backup.retry_after: want a time: a string such as"},
		{"size", "[buffer]\nreserve = \"5 gigs\"\n", "t.toml:2: buffer.reserve: want a size"},
		{"negative size", "[buffer]\nreserve = -1\n", "t.toml:2: buffer.reserve: want 0 or more bytes, found -1"},
		{"bool", "[log]\njournal = 1\n", "t.toml:2: log.journal: want true or false, found 1"},
		{"range", "[retention]\nfill_max_percent = 120\n", "t.toml:2: retention.fill_max_percent: want 10 to 100, found 120"},
		{"min over max", "[retention]\nvolume_versions = 3\nmin_versions = 5\n", "t.toml:3: retention.min_versions: want at most volume_versions (3), found 5"},
		{"relative path", "[paths]\nstate = \"var\"\n", "t.toml:2: paths.state: want an absolute path, found \"var\""},
		{"path not clean", "[paths]\nstate = \"/var//x/\"\n", "t.toml:2: paths.state: want the path \"/var/x\""},
		{"state in the volume", "[paths]\nstate = \"/mnt/ddumbfs/state\"\n", "t.toml:2: paths.state: /mnt/ddumbfs/state lies in /mnt/ddumbfs"},
		{"same path twice", "[paths]\nindex = \"/x\"\nstate = \"/x\"\n", "the path \"/x\" stands at paths.state (line 3) already"},
		{"subdir", "[paths]\nvolume_subdir = \"a/b\"\n", "t.toml:2: paths.volume_subdir: want one name"},
		{"word", "[verify]\nmode = \"ful\"\n", "t.toml:2: verify.mode: found \"ful\"; did you mean \"full\"?"},
		{"calendar", "[schedule]\nstart = [\n  \"20:00\",\n  \"25:00\",\n]\n", "t.toml:4: schedule.start[1]: hour 25"},
		{"zone", "[schedule]\ntime_zone = \"Europe/Nowhere\"\n", "t.toml:2: schedule.time_zone: want a name such as"},
		{"exclusive", "[backup]\npause_after_round = false\n[schedule]\ncontinuous = true\n", "t.toml:4: schedule.continuous: backup.pause_after_round (line 2) = false and this exclude each other"},
		{"recipient", "[mail]\nhost = \"h\"\nfrom = \"a@b\"\nto = [\"nobody\"]\n", "t.toml:4: mail.to[0]: want an address"},
		{"mail without recipients", "[mail]\nhost = \"h\"\nfrom = \"a@b\"\n", "t.toml:1: mail: to is missing"},
		{"user without password", "[mail]\nhost = \"h\"\nfrom = \"a@b\"\nto = [\"a@b\"]\nuser = \"u\"\n", "mail: user and password_file go together"},
		{"url", "[ping]\nurl = \"ftp://x\"\n", "t.toml:2: ping.url: want an address"},
		{"password in a url", "[webhook]\nurl = \"https://u:p@h/\"\n", "t.toml:2: webhook.url: want no name and password"},
		{"two machines of a name", aDir + "[[source.zfs]]\nname = \"a\"\ndataset = \"p/d\"\n", "t.toml:5: source.zfs[0].name: the name of a machine \"a\" stands at source.dir[0].name (line 2) already"},
		{"machine and virtual machine of a name", aDir + aServer + "[[source.zfs]]\nname = \"dc\"\ndataset = \"p/d\"\n", "the name of a machine \"dc\" stands at source.zfs[0].name"},
		{"password in a broken url", "[webhook]\nurl = \"htps://u:p@h/\"\n", "t.toml:2: webhook.url: want no name and password"},
		{"password in no url", "[webhook]\nurl = \"https//u:p%zz@h/\"\n", "t.toml:2: webhook.url: want no name and password"},
		{"one disk in two spellings", aVolume + "[[volume]]\nname = \"w\"\nuuid = \"1234-ABCD\"\n", "t.toml:6: volume[1].uuid: the disk with \"uuid 1234-abcd\" stands at volume[0].uuid (line 3) already"},
		{"name of what is deleted", "[[source.dir]]\nname = \".deleting-dc\"\npaths = [\"/x\"]\n", "t.toml:2: source.dir[0].name: a directory whose name begins with .deleting-"},
		{"name with slash", "[[source.dir]]\nname = \"a/b\"\npaths = [\"/x\"]\n", "t.toml:2: source.dir[0].name: a name has no slash"},
		{"no name", "[[source.dir]]\npaths = [\"/x\"]\n", "t.toml:1: source.dir[0].name: a name is missing"},
		{"no paths", "[[source.dir]]\nname = \"a\"\n", "t.toml:1: source.dir[0]: paths is missing"},
		{"path in path", "[[source.dir]]\nname = \"a\"\npaths = [\"/srv\", \"/srv/x\"]\n", "t.toml:3: source.dir[0].paths[1]: /srv/x would be in the backup twice, by /srv as well"},
		{"volume as source", "[[source.dir]]\nname = \"a\"\npaths = [\"/mnt/ddumbfs/x\"]\n", "a volume is no source"},
		{"volume below source", "[[source.dir]]\nname = \"a\"\npaths = [\"/mnt\"]\none_file_system = false\n", "/mnt holds /mnt/ddumbfs"},
		{"our file", "[[source.dir]]\nname = \"a\"\npaths = [\"/backup.json\"]\n", "is the name of a file that we put into every backup"},
		{"pattern", aDir + "exclude = [\"[a\"]\n", "t.toml:4: source.dir[0].exclude[0]: want a pattern"},
		{"hour", aDir + "blocked_hours = { from = 8, to = 24 }\n", "blocked_hours.to: want 0 to 23, found 24"},
		{"half of the hours", aDir + "blocked_hours = { from = 8 }\n", "t.toml:4: source.dir[0].blocked_hours: to is missing"},
		{"snapshot as dataset", "[[source.zfs]]\nname = \"a\"\ndataset = \"p/d@x\"\n", "want a dataset"},
		{"lvm", "[[source.lvm]]\nname = \"a\"\ngroup = \"-x\"\nvolume = \"v\"\n", "t.toml:3: source.lvm[0].group: want a name of LVM"},
		{"lvm size", "[[source.lvm]]\nname = \"a\"\ngroup = \"x\"\nvolume = \"v\"\nsnapshot_size = \"110%ORIGIN\"\n", "snapshot_size: want a size"},
		{"both secrets", aServer + "password_file = \"/p\"\n", "server[0].ssh_key: server[0].password_file (line 6) and this exclude each other"},
		{"vm that is not listed", aServer + "vm.\"dc-3\" = { quiesce = true }\n", "the server has no machine \"dc-3\" in vms; did you mean"},
		{"override", aServer + "retention = { volume_versions = 0 }\n", "t.toml:6: server[0].retention.volume_versions: want 1 to 100000, found 0"},
		{"borg without passphrase", "[[borg]]\nname = \"b\"\nurl = \"/r\"\n", "passphrase_file is missing"},
		{"borg source", aDir + aBorg + "sources = [\"b\"]\n", "borg[0].sources[0]: there is no source \"b\""},
		{"borg prefixes", aBorg + "prefix = \"x-\"\n" + strings.Replace(aBorg, `"b"`, `"c"`, 1) + "prefix = \"x-y-\"\n", "the archives of one would be pruned by the rules of the other"},
		{"borg verify without check", aBorg + "check = false\nverify_data = true\n", "check = false and this exclude each other"},
		{"key of a local repository", aBorg + "ssh_key = \"/k\"\n", "borg[0].ssh_key: the repository is on this machine"},
		{"no uuid", "[[volume]]\nname = \"v\"\n", "t.toml:1: volume[0]: uuid is missing; kind = \"usb\" needs it"},
		{"place of another kind", aVolume + "path = \"/x\"\n", "t.toml:4: volume[0].path: kind = \"usb\" and this exclude each other; it needs uuid"},
		{"same disk twice", aVolume + strings.Replace(aVolume, `"v"`, `"w"`, 1), "t.toml:6: volume[1].uuid: the disk with \"uuid 1234-abcd\" stands at volume[0].uuid (line 3) already"},
		{"use", aVolume + "use = \"dayofweek-8\"\n", "t.toml:4: volume[0].use: want rotation, dayofweek-1"},
		{"day twice", aVolume + "use = \"dayofweek-1\"\n[[volume]]\nname = \"dayofweek-1\"\nuuid = \"aaaa-bbbb\"\n", "the day \"dayofweek-1\""},
		{"parent outside", aVolume + "parent = \"../x\"\n", "t.toml:4: volume[0].parent: want a path relative to the disk"},
		{"disk over the buffer", "[[volume]]\nname = \"bufferdisk\"\nuuid = \"1234-abcd\"\n", "the disk would be mounted at /mnt/bufferdisk, which holds paths.buffer"},
		{"export", "[[volume]]\nname = \"v\"\nkind = \"nfs\"\nexport = \"nas\"\n", "t.toml:4: volume[0].export: want HOST:/PATH"},
		{"key without luks", aVolume + "key = \"derived\"\n", "volume[0].luks_uuid: want a UUID"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if have := mistakesOf(t, c.text).Error(); !strings.Contains(have, c.want) {
				t.Errorf("have\n%s\nwant\n%s\nof\n%s", have, c.want, c.text)
			}
		})
	}
}

// TestAllMistakesAtOnce: whoever repairs a file wants to do it once.
func TestAllMistakesAtOnce(t *testing.T) {
	wrong := mistakesOf(t, `[paths]
stat = "/x"
buffer = "x"
[backup]
attempts = "many"
[log]
level = "loud"
[[volume]]
name = "v"
`)
	want := []int{2, 3, 5, 7, 8}
	if len(wrong) != len(want) {
		t.Fatalf("have %d mistakes, want %d:\n%v", len(wrong), len(want), wrong)
	}
	for i, m := range wrong {
		if m.Line != want[i] || m.File != "t.toml" || m.Key == "" {
			t.Errorf("mistake %d: have %+v, want line %d", i, m, want[i])
		}
	}
}

// TestMistakesOfAKey: setup asks for one key and must not be told of others, but of both where two have the same name.
func TestMistakesOfAKey(t *testing.T) {
	c := config.Default()
	c.Source.Dir, c.Source.ZFS = []config.Dir{config.NewDir()}, []config.ZFS{config.NewZFS()}
	c.Source.Dir[0].Name, c.Source.ZFS[0].Name = "a", "a"
	wrong := c.Check(config.Outside{})
	for key, want := range map[string]int{"source.dir[0].name": 1, "source.zfs[0].name": 1, "source.dir[0]": 2, "source.dir[0].via": 0, "source.dir": 2, "source.di": 0, "source.zfs[0].dataset": 1} {
		if have := wrong.Of(key); len(have) != want {
			t.Errorf("%s: have %v, want %d", key, have, want)
		}
	}
	for _, m := range wrong {
		if m.Line != 0 || strings.Contains(m.Text, "line") {
			t.Errorf("a line of a file that is not there: %v", m)
		}
	}
}

// TestExactNames: dc and dc-2, sdc1 and sdc10 are different things.
func TestExactNames(t *testing.T) {
	c := parse(t, aServer+`retention = { volume_versions = 7 }
vm."dc-2" = { retention = { volume_versions = 3 } }
[[volume]]
name = "sdc1"
uuid = "1111-1111"
retention = { volume_versions = 30, min_versions = 9 }
[[volume]]
name = "sdc10"
uuid = "2222-2222"
[[source.dir]]
name = "sdc"
paths = ["/etc"]
retention = { min_versions = 2 }
`)
	for _, x := range []struct {
		machine, volume string
		versions, least int
	}{{"dc", "sdc10", 7, 4}, {"dc-2", "sdc10", 3, 3}, {"sdc", "sdc1", 30, 2}, {"sdc", "sdc10", 50, 2}, {"other", "sdc1", 30, 9}, {"other", "", 50, 4}} {
		have := c.RetentionOf(x.machine, x.volume)
		if have.VolumeVersions != x.versions || have.MinVersions != x.least {
			t.Errorf("%s on %q: have %+v, want %d versions, at least %d", x.machine, x.volume, have, x.versions, x.least)
		}
	}
	if c.Volume("sdc") != nil || c.Volume("sdc10").UUID != "2222-2222" {
		t.Error("a volume was found by a part of its name")
	}
	if c.Retention.VolumeVersions != 50 {
		t.Errorf("looking changed the general rule to %d", c.Retention.VolumeVersions)
	}
}
