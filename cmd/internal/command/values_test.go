package command

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"tresor/cmd/internal/cli"
)

const statsText = `block_allocated                        2
block_free                           254
overflow                            1.30
hash                               TIGER
hash                                  17
fragmentation                       3.5%
next_reclaim                         nan
odd-name                            0x10
 
justaname
`

func TestValues(t *testing.T) {
	list := parseValues(statsText)
	text, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"block_allocated":2,"block_free":254,"overflow":1.30,"hash":"TIGER","hash_count":17,"fragmentation":3.5,` +
		`"next_reclaim":"nan","odd-name":"0x10"}`
	if string(text) != want {
		t.Errorf("JSON:\nhave %s\nwant %s", text, want)
	}
	var b bytes.Buffer
	if err := list.prometheus(&b, "/a\"b\\c\nd"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`ddumbfs_block_allocated{volume="/a\"b\\c\nd"} 2` + "\n",
		`ddumbfs_hash_count{volume="/a\"b\\c\nd"} 17` + "\n",
		`ddumbfs_fragmentation{volume="/a\"b\\c\nd"} 3.5` + "\n",
		`ddumbfs_info{volume="/a\"b\\c\nd",hash="TIGER",next_reclaim="nan",odd_name="0x10"} 1` + "\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("want %q in\n%s", want, b.String())
		}
	}
}

func TestStatsOfVolumeAtRest(t *testing.T) {
	dir := newVolume(t, "-H", "TIGER")
	run(t, "ddumbfs", "stats", dir).want(t, cli.ExitOK, "block_allocated                        2\n", "")
	run(t, "ddumbfs", "stats", dir+"/ddfsroot").want(t, cli.ExitOK, "hash                               TIGER\n", "")
	run(t, "ddumbfs", "stats", "--json", dir).want(t, cli.ExitOK, `"block_free": 1022`, "")
	run(t, "ddumbfs", "stats", "--prometheus", dir).want(t, cli.ExitOK, `ddumbfs_block_free{volume="`+dir+`"} 1022`, "")
	run(t, "ddumbfs", "stats", "--prometheus", "--json", dir).want(t, cli.ExitUsage, "", "have both")
	run(t, "ddumbfs", "stats", t.TempDir()).want(t, cli.ExitNoVolume, "", "ddfs.cfg")
	run(t, "ddumbfs", "stats").want(t, cli.ExitUsage, "", "have 0")
	run(t, "ddumbfs", "reclaim", t.TempDir()).want(t, cli.ExitNoVolume, "", "ddfs.cfg")
	damage(t, dir+"/ddfsidx", "XX")
	run(t, "ddumbfs", "stats", dir).want(t, cli.ExitCorrupt, "", "ddfsidx")
	if err := os.Remove(dir + "/ddfsidx"); err != nil {
		t.Fatal(err)
	}
	run(t, "ddumbfs", "stats", dir).want(t, cli.ExitNoVolume, "", "ddfsidx")
}
