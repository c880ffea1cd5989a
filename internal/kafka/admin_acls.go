package kafka

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/stream"
)

// ACLs are all bindings of the cluster, in an order of their own, so that equal sets are equal slices. A cluster without an
// authorizer has none: kept is false then.
func (a *Admin) ACLs(ctx context.Context) (bindings []stream.ACL, kept bool, err error) {
	cl, err := a.requester()
	if err != nil {
		return nil, false, fmt.Errorf("describe ACLs: %w", err)
	}
	req := kmsg.NewPtrDescribeACLsRequest()
	req.ResourceType = kmsg.ACLResourceTypeAny
	req.ResourcePatternType = kmsg.ACLResourcePatternTypeAny
	req.Operation = kmsg.ACLOperationAny
	req.PermissionType = kmsg.ACLPermissionTypeAny
	resp, err := req.RequestWith(ctx, cl)
	if err == nil {
		if resp.ErrorCode == kerr.SecurityDisabled.Code {
			return nil, false, nil
		}
		err = brokerError(resp.ErrorCode, resp.ErrorMessage)
	}
	if err != nil {
		return nil, false, fmt.Errorf("describe ACLs of %s: %w", a.client.Bootstrap(), err)
	}
	for _, r := range resp.Resources {
		for _, b := range r.ACLs {
			bindings = append(bindings, stream.ACL{
				ResourceType: int8(r.ResourceType), PatternType: int8(r.ResourcePatternType), Resource: r.ResourceName,
				Principal: b.Principal, Host: b.Host, Operation: int8(b.Operation), Permission: int8(b.PermissionType),
			})
		}
	}
	slices.SortFunc(bindings, func(x, y stream.ACL) int {
		return cmp.Or(
			cmp.Compare(x.ResourceType, y.ResourceType), cmp.Compare(x.PatternType, y.PatternType), strings.Compare(x.Resource, y.Resource),
			strings.Compare(x.Principal, y.Principal), strings.Compare(x.Host, y.Host),
			cmp.Compare(x.Operation, y.Operation), cmp.Compare(x.Permission, y.Permission),
		)
	})
	return bindings, true, nil
}
