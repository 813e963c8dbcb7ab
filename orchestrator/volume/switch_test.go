package volume_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tresor/orchestrator/volume"
)

// jobs notes what was asked of it.
type jobs struct {
	story []string
	idle  error
	drain error
}

func (j *jobs) Idle(context.Context) error { j.story = append(j.story, "idle"); return j.idle }

func (j *jobs) Drain(_ context.Context, now bool) (func(), error) {
	j.story = append(j.story, fmt.Sprintf("drain %v", now))
	return func() { j.story = append(j.story, "resume") }, j.drain
}

// turn switches and returns what it says; now is what is in use then.
func (r *rig) turn(m *volume.Manager, o volume.SwitchOptions) (s volume.Switched, text string) {
	r.t.Helper()
	s, err := m.Switch(context.Background(), o)
	text = s.String()
	if err != nil {
		text += "; error"
	}
	if m.Current() != s.Now {
		r.t.Errorf("%s: in use is %+v, and it says %+v", text, m.Current(), s.Now)
	}
	return s, text
}

func TestSwitch(t *testing.T) {
	r := newRig(t, "a", "b", "dayofweek-4", "c")
	j := &jobs{}
	r.o.Jobs = j
	m := r.made()
	r.start(m, "a")
	reports := 0
	report := func(_ context.Context, cur *volume.Current) error {
		reports++
		j.story = append(j.story, "report "+cur.Name)
		return errors.New("no paper")
	}
	s, text := r.turn(m, volume.SwitchOptions{Soft: true, Report: report})
	if text != "switched from a to b" || !s.Changed() || !slices.Equal(s.Ejectable, []string{"a", "dayofweek-4", "c"}) || s.Kept != nil {
		t.Errorf("%s: %+v", text, s)
	}
	if want := []string{"idle", "drain false", "report a", "resume"}; !slices.Equal(j.story, want) {
		t.Errorf("%v, want %v", j.story, want)
	}
	if !slices.Contains(s.Warnings, "report: no paper") {
		t.Errorf("warnings %q", s.Warnings)
	}
	if o := r.e.last(); !o.Check {
		t.Errorf("without a check: %+v", o)
	}
	r.wantMounted("b", "volume")

	// Thursday: its disk comes first. Friday: the line goes on.
	r.clock.set(r.clock.Now().Add(24 * time.Hour))
	if _, text = r.turn(m, volume.SwitchOptions{NoCheck: true}); text != "switched from b to dayofweek-4" {
		t.Error(text)
	}
	if o := r.e.last(); o.Check {
		t.Errorf("with a check: %+v", o)
	}
	r.clock.set(r.clock.Now().Add(24 * time.Hour))
	var story []string
	for range 4 {
		_, text = r.turn(m, volume.SwitchOptions{})
		story = append(story, text)
	}
	if want := []string{"switched from dayofweek-4 to c", "switched from c to a", "switched from a to b", "switched from b to c"}; !slices.Equal(story, want) {
		t.Errorf("%q", story)
	}

	// donotswitch: the report is made, and nothing else.
	j.story = nil
	s, text = r.turn(m, volume.SwitchOptions{Soft: true, Disabled: true, Report: report})
	if text != "not switched (disabled); c stays in use" || !s.Disabled || s.Changed() || !slices.Equal(j.story, []string{"report c"}) {
		t.Errorf("%s: %+v; %v", text, s, j.story)
	}
}

// TestSwitchJobs: jobs that do not end keep the volume.
func TestSwitchJobs(t *testing.T) {
	r := newRig(t, "a", "b")
	j := &jobs{}
	r.o.Jobs = j
	m := r.made()
	r.start(m, "a")
	for _, c := range []struct {
		idle, drain error
		now         bool
		story       []string
	}{
		{errors.New("the queue is not empty"), nil, false, []string{"idle"}},
		{nil, errors.New("a copy goes on"), true, []string{"idle", "drain true"}},
	} {
		j.idle, j.drain, j.story = c.idle, c.drain, nil
		_, text := r.turn(m, volume.SwitchOptions{Soft: true, Now: c.now})
		if text != "not switched; a is still mounted; error" || !slices.Equal(j.story, c.story) {
			t.Errorf("%s: %v", text, j.story)
		}
		r.must(m.Check(context.Background()))
		if have := r.states(m); have != "a:mounted b:ejectable" {
			t.Error(have)
		}
	}
}

// TestSwitchBack: what the others have is of no use, and it says so.
func TestSwitchBack(t *testing.T) {
	r := newRig(t, "a", "b", "c")
	m := r.made()
	r.start(m, "a")
	r.away("b")
	r.e.refuse["c"] = errors.New("the check has failed")
	s, text := r.turn(m, volume.SwitchOptions{})
	if text != "not switched; no other volume could be used, and a is mounted again" || !s.Back || s.Changed() || len(s.Failures) != 2 ||
		s.Failures[0].Name != "b" || s.Failures[1].Name != "c" || !slices.Equal(s.Ejectable, []string{"c"}) {
		t.Errorf("%s: %+v", text, s)
	}
	r.wantMounted("a", "volume")
	r.must(m.Check(context.Background()))

	// Nor can the one before be mounted again.
	r.e.refuse["a"] = errors.New("the disk has died")
	s, err := m.Switch(context.Background(), volume.SwitchOptions{})
	if !errors.Is(err, volume.ErrNotUsable) || s.Now != nil || len(s.Failures) != 3 || !strings.HasPrefix(s.String(), "no volume is mounted now; a was unmounted") {
		t.Errorf("%s: %+v, %v", s.String(), s, err)
	}
	r.wantMounted()
	// A disk is put in, and the next switch takes it.
	r.back("b")
	if _, text = r.turn(m, volume.SwitchOptions{}); text != "switched from no volume to b" {
		t.Error(text)
	}
	// The order outlives the process.
	delete(r.e.refuse, "a")
	delete(r.e.refuse, "c")
	m = r.manager()
	r.start(m, "b")
	var story []string
	for range 3 {
		s, _ := r.turn(m, volume.SwitchOptions{})
		story = append(story, s.Now.Name)
	}
	if slices.Sort(story); !slices.Equal(story, []string{"a", "b", "c"}) {
		t.Errorf("%v", story)
	}
}

// TestInterruptedSwitch: the context ends when the volume is unmounted. The caller is let go, and the switch comes to its end by itself.
func TestInterruptedSwitch(t *testing.T) {
	r := newRig(t, "a", "b")
	ctx, cancel := context.WithCancel(context.Background())
	log := r.o.Log
	m := r.made()
	_ = m.Close()
	r.o.Log = func(s volume.Transition) {
		log(s)
		if s.To == volume.Unmounted {
			cancel()
			time.Sleep(200 * time.Millisecond) // it is slow, so that the caller is gone before
		}
	}
	m = r.manager()
	r.start(m, "a")
	s, err := m.Switch(ctx, volume.SwitchOptions{})
	if !errors.Is(err, volume.ErrGoesOn) || s.From != "a" || s.Now == nil || s.Changed() {
		t.Errorf("%s: %v", s.String(), err)
	}
	if cur, err := m.Start(context.Background()); err != nil || cur.Name != "b" { // after it
		t.Fatalf("%v, %v", cur, err)
	}
	r.wantMounted("b", "volume")
	r.must(m.Check(context.Background()))
}

// TestKept: a disk that is mounted nowhere and used all the same is not said to be one that can be taken away.
func TestKept(t *testing.T) {
	r := newRig(t, "a", "b")
	m := r.made()
	r.start(m, "a")
	const why = "/dev/sdx2 is mounted at /home"
	r.o.Volumes[0].Disk.(*alone).why = why
	s, text := r.turn(m, volume.SwitchOptions{})
	if text != "switched from a to b" || s.Ejectable != nil || !slices.Equal(s.Kept, []string{"a: " + why}) {
		t.Errorf("%s: %+v", text, s)
	}
	if have := r.states(m); have != "a:attached b:mounted" {
		t.Error(have)
	}
	if err := m.Eject(context.Background(), "a"); err == nil || !strings.Contains(err.Error(), why) {
		t.Errorf("eject: %v", err)
	}
	r.o.Volumes[0].Disk.(*alone).why = ""
	r.must(m.Eject(context.Background(), "a"))
	if have := r.states(m); have != "a:ejectable b:mounted" {
		t.Error(have)
	}
}

// TestNamed: somebody wants one volume and no other.
func TestNamed(t *testing.T) {
	r := newRig(t, "a", "b", "c")
	m := r.made()
	r.start(m, "a")
	for _, to := range []string{"a", "z"} {
		if _, text := r.turn(m, volume.SwitchOptions{To: to}); text != "not switched; a is still mounted; error" {
			t.Errorf("to %s: %s", to, text)
		}
	}
	r.away("c")
	if s, text := r.turn(m, volume.SwitchOptions{To: "c"}); text != "not switched; no other volume could be used, and a is mounted again" || len(s.Failures) != 1 {
		t.Errorf("%s: %+v", text, s)
	}
	r.back("c")
	if _, text := r.turn(m, volume.SwitchOptions{To: "c"}); text != "switched from a to c" {
		t.Error(text)
	}
}

func TestSingleDisk(t *testing.T) {
	r := newRig(t, "a")
	m := r.made()
	r.start(m, "a")
	if s, text := r.turn(m, volume.SwitchOptions{}); text != "a was closed and is in use again; there is no other volume" || !s.Changed() {
		t.Errorf("%s: %+v", text, s)
	}
}

func TestSecond(t *testing.T) {
	r := newRig(t, "a", "b", "c")
	m, ctx := r.made(), context.Background()
	r.start(m, "a")
	point := filepath.Join(r.dir, "mnt/second")
	for _, c := range []struct{ name, point string }{{"a", point}, {"b", r.o.Point}, {"z", point}} {
		if _, err := m.Second(ctx, c.name, c.point, false); err == nil {
			t.Errorf("second %s at %s: no error", c.name, c.point)
		}
	}
	cur, err := m.Second(ctx, "b", point, false)
	r.must(err)
	if o := r.e.last(); !o.ReadOnly || o.Check || o.Point != point || cur.Root != point {
		t.Errorf("mounted with %+v", o)
	}
	if m.Current().Name != "a" {
		t.Error("the current volume is another one")
	}
	r.wantMounted("a", "volume", "b", "second")
	// A switch leaves it alone, and takes the one after it.
	s, text := r.turn(m, volume.SwitchOptions{})
	if text != "switched from a to c" || len(s.Failures) != 1 || len(s.Kept) != 1 || !strings.HasPrefix(s.Kept[0], "b: the volume is mounted at "+point) {
		t.Errorf("%s: %+v", text, s)
	}
	if err := m.Eject(ctx, "b"); err == nil {
		t.Error("a mounted volume was ejected")
	}
	// One that is dirty is repaired first: mounted for writing, closed, mounted again.
	before := len(r.e.mounts)
	if _, err := m.EndSecond(ctx, point); err != nil {
		t.Fatal(err)
	}
	r.onDisk("b", func(dir string) {
		r.must(os.WriteFile(filepath.Join(dir, "l0/ddumbfs/.autofsck"), []byte("tresor session\n"), 0o600))
	})
	_, err = m.Second(ctx, "b", point, false)
	r.must(err)
	if mounts := r.e.mounts[before:]; len(mounts) != 2 || mounts[0].ReadOnly || !mounts[0].Check || !mounts[1].ReadOnly || mounts[1].Check {
		t.Errorf("mounted %+v", mounts)
	}
	m = r.manager() // another process ends it
	if c, err := m.EndSecond(ctx, point); err != nil || c.Name != "b" || !c.Disk {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err := m.EndSecond(ctx, point); err != nil || c.Name != "" {
		t.Errorf("again: %+v, %v", c, err)
	}
	r.wantMounted("c", "volume")
	if have := r.states(r.manager()); have != "a:ejectable b:ejectable c:mounted" {
		t.Error(have)
	}
}

// TestStartOrder: which volume a boot takes.
func TestStartOrder(t *testing.T) {
	r := newRig(t, "dayofweek-4", "a", "b")
	m, ctx := r.made(), context.Background()
	r.start(m, "a") // on a Wednesday
	_, err := m.Switch(ctx, volume.SwitchOptions{})
	r.must(err)
	_, err = m.Unmount(ctx)
	r.must(err)
	r.start(r.manager(), "b") // the one that was in use last
	_, err = m.Start(ctx)     // adopts it in this process too
	r.must(err)
	_, err = m.Unmount(ctx)
	r.must(err)
	r.away("b")
	r.start(r.manager(), "a")
}
