package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/stream"
)

// aclsPerRequest bounds one change of ACLs: a controller makes each request one write to its log, of 10,000 records at most.
const aclsPerRequest = 500

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
	slices.SortFunc(bindings, stream.ACL.Compare)
	return bindings, true, nil
}

// AddACLs creates bindings and answers for each: nil when it is there now, also when it was before, else the broker's reason.
// The error is for what went wrong as a whole; bindings without an answer are then not in the map.
func (a *Admin) AddACLs(ctx context.Context, bindings []stream.ACL) (map[stream.ACL]error, error) {
	results := make(map[stream.ACL]error, len(bindings))
	cl, err := a.requester()
	if err != nil {
		return results, fmt.Errorf("create ACLs: %w", err)
	}
	for part := range slices.Chunk(bindings, aclsPerRequest) {
		req := kmsg.NewPtrCreateACLsRequest()
		for _, b := range part {
			c := kmsg.NewCreateACLsRequestCreation()
			c.ResourceType, c.ResourcePatternType = kmsg.ACLResourceType(b.ResourceType), kmsg.ACLResourcePatternType(b.PatternType)
			c.ResourceName, c.Principal, c.Host = b.Resource, b.Principal, b.Host
			c.Operation, c.PermissionType = kmsg.ACLOperation(b.Operation), kmsg.ACLPermissionType(b.Permission)
			req.Creations = append(req.Creations, c)
		}
		resp, err := req.RequestWith(ctx, cl)
		if err == nil && len(resp.Results) != len(part) {
			err = fmt.Errorf("%d answers", len(resp.Results))
		}
		if err != nil {
			return results, fmt.Errorf("create %d ACLs: %w", len(part), err)
		}
		for i, b := range part {
			results[b] = nil
			if err := brokerError(resp.Results[i].ErrorCode, resp.Results[i].ErrorMessage); err != nil {
				results[b] = fmt.Errorf("create ACL %s: %w", b, err)
			}
		}
	}
	return results, nil
}

// errNotOneBinding keeps DeleteACLs from a filter that matches more than the binding that is meant.
var errNotOneBinding = errors.New("it does not name one binding")

// DeleteACLs deletes just these bindings and answers for each: nil when it is gone now, also when it was before, else the
// broker's reason. The error is for what went wrong as a whole; bindings without an answer are then not in the map.
func (a *Admin) DeleteACLs(ctx context.Context, bindings []stream.ACL) (map[stream.ACL]error, error) {
	results := make(map[stream.ACL]error, len(bindings))
	cl, err := a.requester()
	if err != nil {
		return results, fmt.Errorf("delete ACLs: %w", err)
	}
	exact := slices.DeleteFunc(slices.Clone(bindings), func(b stream.ACL) bool {
		if namesOne(b) {
			return false
		}
		results[b] = fmt.Errorf("delete ACL %s: %w", b, errNotOneBinding)
		return true
	})
	for part := range slices.Chunk(exact, aclsPerRequest) {
		resp, err := deletion(part).RequestWith(ctx, cl)
		if err == nil && len(resp.Results) != len(part) {
			err = fmt.Errorf("%d answers", len(resp.Results))
		}
		if err != nil {
			return results, fmt.Errorf("delete %d ACLs: %w", len(part), err)
		}
		for i, b := range part {
			r := resp.Results[i]
			err := brokerError(r.ErrorCode, r.ErrorMessage)
			for _, m := range r.MatchingACLs {
				err = errors.Join(err, brokerError(m.ErrorCode, m.ErrorMessage))
			}
			if results[b] = nil; err != nil {
				results[b] = fmt.Errorf("delete ACL %s: %w", b, err)
			}
		}
	}
	return results, nil
}

func deletion(bindings []stream.ACL) *kmsg.DeleteACLsRequest {
	req := kmsg.NewPtrDeleteACLsRequest()
	for _, b := range bindings {
		f := kmsg.NewDeleteACLsRequestFilter()
		f.ResourceType, f.ResourcePatternType = kmsg.ACLResourceType(b.ResourceType), kmsg.ACLResourcePatternType(b.PatternType)
		f.ResourceName, f.Principal, f.Host = kmsg.StringPtr(b.Resource), kmsg.StringPtr(b.Principal), kmsg.StringPtr(b.Host)
		f.Operation, f.PermissionType = kmsg.ACLOperation(b.Operation), kmsg.ACLPermissionType(b.Permission)
		req.Filters = append(req.Filters, f)
	}
	return req
}

// namesOne says whether a binding, read as a filter, matches itself alone.
func namesOne(b stream.ACL) bool {
	return b.ResourceType > int8(kmsg.ACLResourceTypeAny) && b.Operation > int8(kmsg.ACLOperationAny) &&
		(b.PatternType == stream.PatternLiteral || b.PatternType == stream.PatternPrefixed) &&
		(b.Permission == stream.PermissionAllow || b.Permission == stream.PermissionDeny) &&
		b.Resource != "" && b.Principal != "" && b.Host != ""
}
