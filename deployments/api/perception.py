"""``/v1/segment`` and ``/v1/caption``: the shared models are useful by themselves."""

from __future__ import annotations

import base64
import io

import numpy as np
from fastapi import APIRouter, Depends, Request
from PIL import Image

from lift3d_ray.conditioning.caption import caption_of, split_view
from lift3d_ray.deployments.api.bodies import Pointing, SegmentBody
from lift3d_ray.deployments.api.documents import CaptionDocument, MaskDocument, SegmentDocument
from lift3d_ray.deployments.api.door import Door
from lift3d_ray.deployments.api.intake import checked, picture_of, read_body
from lift3d_ray.deployments.api.openapi import FAULTS, takes
from lift3d_ray.deployments.api.parts import Parts, Threads
from lift3d_ray.models.roles import Models
from lift3d_ray.recipes import by_name
from lift3d_ray.subject.crop import crop_subject
from lift3d_ray.subject.masks import bounding_box
from lift3d_ray.subject.select import every_subject, liftable_masks, select_subject
from lift3d_ray.types import MaskProposal, Photo

MOST_MASKS = 16
"""Proposals that are told at most."""


def perception_routes(parts: Parts, threads: Threads, door: Door) -> APIRouter:
    """The two routes."""
    router = APIRouter(tags=["models"], responses=FAULTS)

    async def photo_and_body(request: Request) -> tuple[Photo, SegmentBody]:
        body, upload = await read_body(request, SegmentBody)
        picture = await picture_of(body, upload, parts, threads)
        return await checked(picture, body.name, threads), body

    @router.post("/v1/segment", openapi_extra=takes(SegmentBody))
    async def segment(request: Request, owner: str = Depends(door)) -> SegmentDocument:
        """Masks of what a selection points at, with their scores, best first."""
        photo, body = await photo_and_body(request)
        return await threads.models(lambda: segmented(photo, parts.models(), body.selection))

    @router.post("/v1/caption", openapi_extra=takes(SegmentBody))
    async def caption(request: Request, owner: str = Depends(door)) -> CaptionDocument:
        """The subject in words, as a lift would begin with them; a lift takes others as its ``prompt``."""
        photo, body = await photo_and_body(request)
        return await threads.models(lambda: captioned(photo, parts.models(), body.selection, parts.config.recipe))

    return router


def segmented(photo: Photo, models: Models, pointing: Pointing) -> SegmentDocument:
    """What a selection points at.

    Raises:
        NoSubject: nothing that could be lifted.
    """
    selection = pointing.selection()
    if selection.every:
        masks = every_subject(photo, models.segmenter)
    elif selection.thing or selection.words is not None:
        masks = [select_subject(photo, models.segmenter, selection, models.clip)]
    else:
        masks = liftable_masks(photo, models.segmenter, selection)
    height, width = photo.rgb_HWC.shape[:2]
    return SegmentDocument(width=width, height=height, masks=[_mask(mask) for mask in masks[:MOST_MASKS]])


def captioned(photo: Photo, models: Models, pointing: Pointing, recipe_name: str) -> CaptionDocument:
    """The subject in words.

    Raises:
        NoSubject: there is none.
    """
    selection, recipe = pointing.selection(), by_name(recipe_name)
    mask = select_subject(photo, models.segmenter, selection, models.clip)
    subject = crop_subject(photo, mask, size=recipe.subject.size_px, fill=recipe.subject.fill)
    words, _ = split_view(caption_of(photo, subject, models.captioner, models.clip, recipe.caption))
    return CaptionDocument(caption=words)


def _mask(mask: MaskProposal) -> MaskDocument:
    height, width = mask.mask_HW.shape
    left, top, right, bottom = bounding_box(mask.mask_HW)
    return MaskDocument(
        score=float(mask.score),
        box=(left / width, top / height, right / width, bottom / height),
        area=float(mask.mask_HW.mean()),
        png=_png(mask),
    )


def _png(mask: MaskProposal) -> str:
    stream = io.BytesIO()
    Image.fromarray(np.where(mask.mask_HW, np.uint8(255), np.uint8(0))).convert("1").save(stream, "PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
