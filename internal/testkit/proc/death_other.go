//go:build !linux

package proc

import "syscall"

func diesWithParent() *syscall.SysProcAttr { return nil }
