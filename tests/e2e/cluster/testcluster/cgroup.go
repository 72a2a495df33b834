package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cgroup marks the processes of a cluster: `up` joins it before it starts anything, every descendant inherits it, and
// no process gets out by itself. So ending a cluster needs no list of pids: the kernel keeps the list. Containers have
// cgroups of their own below it, in every hierarchy; membership is read in the freezer's.
type cgroup string

const (
	hierarchies = "/sys/fs/cgroup"
	freezer     = hierarchies + "/freezer"
)

func (g cgroup) path() string { return filepath.Join(freezer, string(g)) }

func (g cgroup) join() error {
	if _, err := os.Stat(freezer); err != nil {
		return fmt.Errorf("this machine has no cgroup v1 freezer: %w", err)
	}
	if err := os.MkdirAll(g.path(), 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(g.path(), "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0)
}

// folders lists the group's own folder in one hierarchy and all below it, parents first.
func (g cgroup) folders(hierarchy string) (all []string) {
	filepath.WalkDir(filepath.Join(hierarchy, string(g)), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			all = append(all, path)
		}
		return nil // a folder that vanished meanwhile is no error
	})
	return all
}

func (g cgroup) pids() (all []int) {
	for _, folder := range g.folders(freezer) {
		procs, _ := os.ReadFile(filepath.Join(folder, "cgroup.procs"))
		for _, line := range strings.Fields(string(procs)) {
			pid, _ := strconv.Atoi(line)
			all = append(all, pid)
		}
	}
	return all
}

// find gives the pid of the member that was started under this name, or 0.
func (g cgroup) find(name string) int {
	for _, pid := range g.pids() {
		arguments, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if first, _, _ := strings.Cut(string(arguments), "\x00"); filepath.Base(first) == name {
			return pid
		}
	}
	return 0
}

func (g cgroup) freeze() error {
	state := filepath.Join(g.path(), "freezer.state")
	if err := os.WriteFile(state, []byte("FROZEN"), 0); err != nil {
		return err
	}
	return wait(5*time.Second, "every process of "+string(g)+" to stop", func() error {
		now, err := os.ReadFile(state)
		if err == nil && strings.TrimSpace(string(now)) != "FROZEN" {
			err = fmt.Errorf("the kernel says %s", strings.TrimSpace(string(now)))
		}
		return err
	})
}

func (g cgroup) thaw() (err error) {
	for _, folder := range g.folders(freezer) {
		err = errors.Join(err, os.WriteFile(filepath.Join(folder, "freezer.state"), []byte("THAWED"), 0))
	}
	return err
}

// kill ends every member. They are frozen meanwhile, so none can start another or give its pid to a stranger.
func (g cgroup) kill() error {
	return wait(30*time.Second, "the processes of "+string(g)+" to end", func() error {
		if len(g.pids()) == 0 {
			return nil
		}
		g.freeze() // one that does not stop in time is met again in the next round
		left := g.pids()
		for _, pid := range left {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		g.thaw()
		return fmt.Errorf("left: %v", left)
	})
}

// create makes the group's folder in every hierarchy.
func (g cgroup) create() (err error) {
	for _, hierarchy := range allHierarchies() {
		err = errors.Join(err, os.MkdirAll(filepath.Join(hierarchy, string(g)), 0o755))
	}
	return err
}

// remove takes away the group's folders in every hierarchy. Only for a group without members.
func (g cgroup) remove() (err error) {
	for _, hierarchy := range allHierarchies() {
		folders := g.folders(hierarchy)
		slices.Reverse(folders)
		for _, folder := range folders {
			err = errors.Join(err, wait(5*time.Second, folder+" to be removable", func() error { return syscall.Rmdir(folder) }))
		}
	}
	return err
}

func allHierarchies() (all []string) {
	entries, _ := os.ReadDir(hierarchies)
	for _, entry := range entries {
		if entry.IsDir() { // the others, cpu,cpuacct for example, are links
			all = append(all, filepath.Join(hierarchies, entry.Name()))
		}
	}
	return all
}
