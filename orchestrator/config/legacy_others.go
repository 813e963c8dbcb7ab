package config

import (
	"fmt"
	"net/mail"
	"os"
	"slices"
	"strconv"
	"strings"
)

// machines reads VM.conf of every machine.
func (m *importer) machines() error {
	for i := range m.c.Servers {
		s := &m.c.Servers[i]
		for _, vm := range s.VMs {
			if strings.ContainsAny(vm, "/\x00") {
				continue // the proof of the whole says so
			}
			name := vm + ".conf"
			if name == mainFile {
				m.remark("warning", name, 0, "the machine %s has the name of the main file: it has no settings of its own", vm)
				continue
			}
			f, err := m.read(name, legacyMachine)
			if err != nil {
				return err
			}
			if f == nil {
				continue
			}
			if h := m.blocked(f); h != nil {
				s.VM[vm] = VM{BlockedHours: h}
				m.where[join(join(index("server", i), "vm"), vm)] = f.name
			}
		}
	}
	return nil
}

// blocked turns DONTRUNFROM and DONTRUNTILL into hours: of F and T, F<=H<=T is blocked when T is later, and H>=F or H<=T when it is earlier. Equal ones
// blocked all from that hour to midnight by a slip; ours block exactly that hour.
func (m *importer) blocked(f *shellFile) *Hours {
	from, till := 24, -1
	m.number(f, "DONTRUNFROM", "", -1, 99, &from)
	m.number(f, "DONTRUNTILL", "", -1, 99, &till)
	is := func(h int) bool {
		switch {
		case till > from:
			return from <= h && h <= till
		case till < from:
			return h >= from || h <= till
		}
		return h == from
	}
	if from == till && from >= 0 && from < 24 {
		m.remark("warning", f.name, f.values["DONTRUNTILL"].line,
			"DONTRUNFROM and DONTRUNTILL are both %d: the predecessor blocked all from then to midnight, here it is that hour alone", from)
	}
	first, count := -1, 0
	for h := range 24 {
		if is(h) {
			count++
			if !is((h + 23) % 24) {
				first = h
			}
		}
	}
	switch count {
	case 0:
		return nil
	case 24:
		m.remark("warning", f.name, f.values["DONTRUNFROM"].line, "every hour is blocked: this machine was never backed up")
		return &Hours{0, 23}
	}
	return &Hours{first, (first + count - 1) % 24}
}

func (m *importer) text(f *shellFile, key, place string, to *string) {
	if v := f.get(key); v != "" {
		*to = v
		m.came(place, f, key)
	}
}

// mail reads pzymail.conf.
func (m *importer) mail() error {
	f, err := m.read("pzymail.conf", legacyMail)
	if err != nil || f == nil {
		return err
	}
	to := &m.c.Mail
	m.text(f, "PZYDESCRIPTION", "mail.description", &to.Description)
	m.text(f, "PZYHOST", "mail.host", &to.Host)
	m.number(f, "PZYPORT", "mail.port", 1, 65535, &to.Port)
	m.text(f, "PZYFROM", "mail.from", &to.From)
	switch user, pass := f.get("PZYUSER"), f.get("PZYPASS"); {
	case user != "" && pass != "":
		m.text(f, "PZYUSER", "mail.user", &to.User)
		to.PasswordFile = m.keepSecret("mail", pass)
	case user != "":
		m.remark("note", f.name, f.values["PZYUSER"].line, "PZYUSER without PZYPASS: mail is sent without a login, as before")
	case pass != "":
		m.remark("note", f.name, f.values["PZYPASS"].line, "PZYPASS without PZYUSER: mail is sent without a login")
	}
	m.security(f)
	if v := f.get("PZYTO"); v != "" {
		m.came("mail.to", f, "PZYTO")
		to.To = recipients(v)
	}
	if m.c.Mail.Host == "" {
		m.remark("warning", f.name, 0, "PZYHOST is not set: no mail is sent")
		m.c.Mail.To, m.c.Mail.User, m.c.Mail.PasswordFile = []string{}, "", ""
	}
	return nil
}

// recipients splits a list as mail programs do, or else at blanks.
func recipients(v string) (list []string) {
	if all, err := mail.ParseAddressList(v); err == nil {
		for _, a := range all {
			if a.Name == "" {
				list = append(list, a.Address)
			} else {
				list = append(list, a.String())
			}
		}
		return list
	}
	return strings.FieldsFunc(v, func(r rune) bool { return strings.ContainsRune(" \t,;", r) })
}

func (m *importer) security(f *shellFile) {
	swaks := map[string]string{"tlso": SecurityOpportunistic, "tlsos": SecurityOpportunistic, "tlsc": SecurityTLS, "tls": SecurityStartTLS}
	pzy := map[string]string{"normal": SecurityOpportunistic, "ssl": SecurityTLS, "tls": SecurityStartTLS}
	m.c.Mail.Security = SecurityOpportunistic // what the predecessor does without a word
	for _, from := range []struct {
		key   string
		words map[string]string
	}{{"SWAKSMODE", swaks}, {"PZYMODE", pzy}} {
		v := f.get(from.key)
		if v == "" {
			continue
		}
		word, ok := from.words[v]
		if !ok {
			m.wrong(f, from.key, "found %q, which is no mode of it", v)
			return
		}
		m.c.Mail.Security = word
		m.came("mail.security", f, from.key)
		return
	}
}

// controlInterface reads cif.conf.
func (m *importer) controlInterface() error {
	f, err := m.read("cif.conf", legacyInterface)
	if err != nil || f == nil {
		return err
	}
	active := false
	m.flag(f, "CIFACTIVE", "mail.interface_up_on_demand", &active)
	if active {
		m.text(f, "CIFINTERNALNET", "mail.interface_up_on_demand", &m.c.Mail.InterfaceUpOnDemand)
	}
	return nil
}

// restore reads restore.conf.
func (m *importer) restore() error {
	f, err := m.read("restore.conf", legacyRestore)
	if err != nil || f == nil {
		return err
	}
	r := &m.c.Restore
	if target := f.get("MYTARGETSERVER"); slices.ContainsFunc(m.c.Servers, func(s Server) bool { return s.Host == target }) {
		m.text(f, "MYTARGETSERVER", "restore.server", &r.Server)
	} else if target != "" {
		m.remark("warning", f.name, f.values["MYTARGETSERVER"].line, "MYTARGETSERVER %s is none of the servers: restore.server stays empty", target)
	}
	mode := 1
	if m.number(f, "MYRESTOREMODE", "restore.mode", 0, 1, &mode) && mode == 0 {
		r.Mode = "link"
	}
	format := 3
	if m.number(f, "TARGET_DISK_FORMAT", "restore.disk_format", 1, 4, &format) {
		r.DiskFormat = []string{"zeroedthick", "2gbsparse", "thin", "eagerzeroedthick"}[format-1]
	}
	if list := strings.Fields(f.get("TARGET_DATASTORE")); len(list) > 0 {
		r.Datastores = list
		m.came("restore.datastores", f, "TARGET_DATASTORE")
	}
	m.text(f, "MY_NFS_IP", "restore.nfs_ip", &r.NFSIP)
	return nil
}

// leftovers names the files that nobody read.
func (m *importer) leftovers() error {
	known := []string{"pzymail.conf", "cif.conf", "restore.conf"}
	for _, s := range m.c.Servers {
		for _, vm := range s.VMs {
			known = append(known, vm+".conf")
		}
	}
	entries, err := os.ReadDir(m.o.Dir)
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	for _, e := range entries {
		name := e.Name()
		number, isServer := strings.CutPrefix(name, mainFile+".")
		_, err := strconv.Atoi(number)
		switch {
		case name == mainFile || isServer && err == nil || slices.Contains(known, name):
		case name == "update.conf":
			m.remark("dropped", name, 0, "updates come as packages")
		case strings.HasSuffix(name, ".conf"):
			m.remark("unknown", name, 0, "not read: no machine in VMLIST has this name")
		}
	}
	return nil
}
