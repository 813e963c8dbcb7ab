package config_test

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tresor/orchestrator/config"
)

// switchedOn is the example with the settings that a # switches off.
func switchedOn() string {
	return regexp.MustCompile(`(?m)^#(\S)`).ReplaceAllString(config.Example(), "$1")
}

func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Parse("test.toml", []byte(text), config.Outside{NoSecrets: true})
	if err != nil {
		t.Fatalf("parse: %v\n%s", err, text)
	}
	return c
}

// TestExampleIsDefault: what the example says about a default is the default.
func TestExampleIsDefault(t *testing.T) {
	have, want := parse(t, config.Example()), parse(t, "")
	if !reflect.DeepEqual(have, want) {
		t.Errorf("the example is not the default:\nhave %+v\nwant %+v", have, want)
	}
}

// TestExampleShowsEveryKey finds them by reflection: a key that is not in the example fails.
func TestExampleShowsEveryKey(t *testing.T) {
	parse(t, switchedOn())
	shown := map[string]bool{}
	table := ""
	inline := regexp.MustCompile(`([a-z_]+) = `)
	for line := range strings.Lines(switchedOn()) {
		line, _, _ = strings.Cut(line, " # ")
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			table = line
		}
		for i, m := range inline.FindAllStringSubmatch(line, -1) {
			at := table
			if i > 0 || strings.HasPrefix(line, "vm.") {
				at = "nested"
			}
			shown[at+" "+m[1]] = true
		}
	}
	for _, k := range config.Keys() {
		at := k.Table
		if strings.Count(at, ".") > 1 || regexp.MustCompile(`\.(retention|blocked_hours|vm\.NAME)\]`).MatchString(at) {
			at = "nested"
		}
		if !shown[at+" "+k.Name] {
			t.Errorf("the example does not show %s of %s (looked for in %s)", k.Name, k.Table, at)
		}
	}
}

// TestExampleDefaultsOfLists: entries of lists that say nothing are as the example says.
func TestExampleDefaultsOfLists(t *testing.T) {
	on := parse(t, switchedOn())
	bare := parse(t, `
[[source.dir]]
name = "server1"
paths = ["/etc", "/srv", "/home"]
exclude = ["*.tmp", ".cache"]
blocked_hours = { from = 8, to = 17 }
retention = { volume_versions = 10, daily = 7, weekly = 4 }
[[source.lvm]]
name = "mail"
group = "vg0"
volume = "mail"
exclude = ["lost+found"]
blocked_hours = { from = 8, to = 17 }
retention = { volume_versions = 10 }
[[borg]]
name = "offsite"
url = "ssh://backup@borg.example.org:22/./repository"
passphrase_file = "/etc/tresor/borg-offsite.secret"
ssh_key = "/root/.ssh/borg"
[[volume]]
name = "dayofweek-5"
kind = "loop"
file = "/srv/friday.img"
[[server]]
name = "esx2"
host = "192.0.2.11"
password_file = "/etc/tresor/esx2.secret"
`)
	for _, c := range []struct {
		name       string
		have, want any
	}{
		{"dir", on.Source.Dir[0], bare.Source.Dir[0]}, {"lvm", on.Source.LVM[0], bare.Source.LVM[0]}, {"borg", on.Borg[0], bare.Borg[0]},
		{"volume", on.Volumes[1], bare.Volumes[0]}, {"server", on.Servers[1], bare.Servers[0]},
	} {
		if !reflect.DeepEqual(c.have, c.want) {
			t.Errorf("%s: have %+v, want %+v", c.name, c.have, c.want)
		}
	}
	if v := on.Volumes[1]; v.Use != "dayofweek-5" || v.Parent != "l0/ddumbfs" {
		t.Errorf("volume named after a day: have use %q, parent %q", v.Use, v.Parent)
	}
	if len(on.Notes()) == 0 || !slices.ContainsFunc(on.Notes(), func(n config.Note) bool {
		return strings.Contains(n.Text, "ESXi hosts are backed up from the next release on")
	}) {
		t.Errorf("notes: have %v, want one about ESXi hosts", on.Notes())
	}
}
